"""Tables of independent rows: features, labels, covariates, and the split."""
