"""What a training tells while it runs: log lines, a bar in a terminal, reports. Never fails a training."""
