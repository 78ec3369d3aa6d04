"""Metrics, and the naive models that a trained one is measured against."""
