"""Neural networks for tables and for series."""
