"""``mode: Prepare``: the dataset that a training would see, and a report about it; no model."""

from trainyard_trainer.prepare.work import prepare_dataset

__all__ = ["prepare_dataset"]
