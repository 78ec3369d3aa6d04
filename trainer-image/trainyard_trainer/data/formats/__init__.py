"""What a file is and how it is read: CSV and its kin, Parquet, JSON lines, compressed or not."""
