"""Faults of a data set that would spoil training."""
