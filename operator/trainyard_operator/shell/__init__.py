"""Start, stop, watches and probes. Only this package depends on kopf."""
