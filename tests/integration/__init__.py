"""Tests on a real control plane without nodes, and with real servers.

The folder is a package: the fixture of the control plane has this scope and ends with the last test.
"""
