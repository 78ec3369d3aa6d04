"""File formats and their readers: CSV and similar text, Parquet, and JSON lines, compressed or not."""
