"""Experiment definitions that run scratch and torchref on the same numbers and compare what they give back."""
