"""One controller for each kind. It builds the planner's input from the store."""
