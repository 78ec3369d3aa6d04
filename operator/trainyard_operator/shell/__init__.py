"""Start, stop, watch and probe. The only room that knows kopf."""
