"""The champion beside the model that was just trained: both answer the same rows, and neither has learned from them."""
