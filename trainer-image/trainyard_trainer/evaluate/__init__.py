"""Metrics, and the naive models for comparison."""
