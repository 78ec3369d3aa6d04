"""Decisions about PredictionJobs: the version that predicts, the pod, and the result."""
