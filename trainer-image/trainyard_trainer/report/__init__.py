"""What a person reads after a training: report.html, validation.json, metrics.parquet."""
