"""Run one job in one process, from its configuration to its result, and the kinds of jobs."""
