"""Data sources: files at any kind of address, and rows of databases."""
