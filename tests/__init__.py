"""Tests, from quick ones without a cluster to those on a real node.

A package of their own: a library installs a folder of the same name, which would win over one without this file.
"""
