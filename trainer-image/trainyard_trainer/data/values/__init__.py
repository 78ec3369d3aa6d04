"""Single values and columns: numbers, times and zones out of text, steps of time, and hashes of rows."""
