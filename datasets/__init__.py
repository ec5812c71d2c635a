"""Datasets: how training data gets from where it is to where the stack says it lives."""
