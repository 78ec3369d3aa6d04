"""Backtests: the training as it would have gone at several moments of the past, judged by what happened then.

A cutoff is a dataset whose series end earlier; whatever trains and judges the last horizon of the whole does so there.
"""
