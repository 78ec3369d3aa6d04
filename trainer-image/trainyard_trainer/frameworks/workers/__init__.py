"""Worker processes of frameworks with a model for each series."""
