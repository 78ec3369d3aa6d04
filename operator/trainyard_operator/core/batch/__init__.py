"""Kinds that run to an end: one life for all of them, and what an attempt runs as."""
