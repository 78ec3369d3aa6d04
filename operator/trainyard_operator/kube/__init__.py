"""API server behind a Protocol, with one set of errors."""
