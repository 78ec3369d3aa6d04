"""Tests, from quick ones without a cluster to those on a real node.

This file makes the folder a package. A library installs a folder of the same name, and Python would prefer it to a
folder without this file.
"""
