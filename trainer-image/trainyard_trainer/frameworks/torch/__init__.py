"""Networks for tables and for series."""
