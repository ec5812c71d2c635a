"""Measurements of Trainyard against plain ways of doing the same."""
