"""Values and columns: numbers, times and zones from text, frequencies, and hashes of rows."""
