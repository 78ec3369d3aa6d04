"""TrainingSchedules: the times of their cron expressions, and the runs that they create."""
