"""One gradient-boosted model for all series."""
