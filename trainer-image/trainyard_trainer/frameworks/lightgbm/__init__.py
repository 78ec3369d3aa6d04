"""One gradient-boosted model for a table."""
