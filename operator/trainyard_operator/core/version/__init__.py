"""ModelVersions: their gates, and their planner."""
