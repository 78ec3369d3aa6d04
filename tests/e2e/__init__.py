"""Tests on a real node, with the images and the chart.

The folder is a package: the fixtures of its clusters have this scope and end with the last test.
"""
