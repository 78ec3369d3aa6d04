"""``python -m trainyard_trainer``."""

from trainyard_trainer.cli.main import start

start()
