"""Where models are kept: a store of keys that are written once, the manifest of a run, and the version numbers."""
