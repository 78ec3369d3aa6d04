"""One job in one process: from its configuration to its result, and the ways that a job can go."""
