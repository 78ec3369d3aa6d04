"""Progress of a running training: log lines, a progress bar, and reports. Errors here do not fail a training."""
