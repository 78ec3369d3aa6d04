"""Store, queue and workers: what is known, what is due, and who does it."""
