"""Worker processes of frameworks that make a model for each series."""
