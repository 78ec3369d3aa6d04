"""The commands, one file per command. Each imports its dependencies only when it runs."""
