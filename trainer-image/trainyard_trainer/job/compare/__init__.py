"""Comparison of the new model with the champion. Both predict the same rows, and neither was trained on them."""
