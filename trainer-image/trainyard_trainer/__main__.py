"""``python -m trainyard_trainer``."""

from trainyard_trainer.cli import start

start()
