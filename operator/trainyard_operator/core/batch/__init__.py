"""Lifecycle of the kinds that run to completion, and the workloads that run their attempts."""
