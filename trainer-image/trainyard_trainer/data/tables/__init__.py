"""Rows that stand for themselves: features, labels, covariates, and who is held out."""
