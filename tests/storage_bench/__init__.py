"""Tests of the storage benchmark and the documents."""
