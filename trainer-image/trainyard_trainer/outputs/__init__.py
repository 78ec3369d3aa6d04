"""Predictions of a run, written exactly once: files in a bucket or on a claim, or rows of a PostgreSQL table."""
