"""From an address in the specification to typed, checked and split data."""
