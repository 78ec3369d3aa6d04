"""Auto: frameworks are compared before the holdout, and their predictions are combined with weights."""
