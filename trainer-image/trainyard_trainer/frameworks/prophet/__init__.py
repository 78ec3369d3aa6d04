"""A model per series, and simpler ones where these forecast better."""
