"""Lifecycle of a TrainingJob: its planner, and the Jobs of its attempts."""
