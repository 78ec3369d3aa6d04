"""Admission control: which jobs may start, and the queue of the jobs that wait."""
