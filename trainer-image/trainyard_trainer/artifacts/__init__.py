"""Storage of models: a store with write-once keys, the manifest of a run, and version numbers."""
