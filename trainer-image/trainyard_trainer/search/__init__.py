"""Hyper-parameter search: where to look, when to stop, and what earlier attempts have tried."""
