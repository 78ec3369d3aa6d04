"""Tests, from quick ones without a cluster to those on a real node."""
