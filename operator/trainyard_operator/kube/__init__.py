"""The API server behind a Protocol: one way to ask, one set of errors."""
