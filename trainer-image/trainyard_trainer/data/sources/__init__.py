"""Where data comes from: files of every kind of address, and rows of databases."""
