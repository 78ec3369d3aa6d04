"""The HTTPS endpoint that trainers report to: authenticate, order, coalesce."""
