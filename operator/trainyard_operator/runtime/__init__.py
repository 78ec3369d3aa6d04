"""Cache, work queue and workers of the operator."""
