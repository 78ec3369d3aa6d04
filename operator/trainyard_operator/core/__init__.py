"""Pure decisions: state in, plan out. No clock, no I/O, no event loop."""
