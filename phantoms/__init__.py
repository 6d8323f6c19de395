"""Samples whose every number is known: the truth."""
