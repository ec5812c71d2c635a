"""Measuring shared storage on a real cluster with fio, and the documents that show it beside what is computed."""
