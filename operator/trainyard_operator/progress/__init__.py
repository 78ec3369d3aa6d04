"""HTTPS endpoint for the trainers' reports: authenticate, order and coalesce them."""
