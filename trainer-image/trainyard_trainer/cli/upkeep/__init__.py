"""Maintenance of a storage: rebuild versions from it, and remove unused objects."""
