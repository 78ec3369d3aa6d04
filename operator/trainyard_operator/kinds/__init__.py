"""Watched kinds. Each module describes one kind for the runtime."""
