"""Reports of a training for people: report.html, validation.json, metrics.parquet."""
