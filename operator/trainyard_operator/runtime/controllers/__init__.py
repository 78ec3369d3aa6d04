"""One controller for each kind: what its planner sees, taken from the store."""
