"""Hyperparameter search: the space, the stopping rules, and the trials of earlier attempts."""
