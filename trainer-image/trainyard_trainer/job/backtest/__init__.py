"""Backtests: train at several cutoffs in the past, and compare the forecasts with the actual values.

A cutoff is a dataset whose series end earlier. Training and evaluation use their usual code on it.
"""
