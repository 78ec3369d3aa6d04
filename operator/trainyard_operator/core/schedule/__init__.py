"""TrainingSchedules: the times of cron lines, and what runs at them."""
