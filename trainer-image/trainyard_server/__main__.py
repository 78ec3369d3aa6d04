"""``python -m trainyard_server``."""

from trainyard_server.cli import start

start()
