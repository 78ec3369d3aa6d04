"""The live demo: cluster, object store, chart, and the jobs of examples/ trained on them. Run by ``make demo``."""
