"""``mode: Prepare``: the dataset that a training uses, and a report about it, but no model."""
