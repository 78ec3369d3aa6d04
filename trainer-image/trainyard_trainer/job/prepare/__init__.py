"""``mode: Prepare``: the dataset that a training would see, and a report about it; no model."""
