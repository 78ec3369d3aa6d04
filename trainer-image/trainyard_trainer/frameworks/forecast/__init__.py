"""Shared code of the frameworks for forecasts: columns, windows, quantiles, baseline and evaluation."""
