"""Who may start: verdicts, and the book that gives them at once."""
