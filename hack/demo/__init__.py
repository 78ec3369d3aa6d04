"""The live demo: a cluster, an object store, the chart, and the models of examples/. ``make demo`` runs it."""
