"""The live demo: cluster, object store, chart, and examples/ trained and served on them. Run by ``make demo``."""
