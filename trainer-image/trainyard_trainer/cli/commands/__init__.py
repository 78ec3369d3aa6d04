"""What people call on the command line, a file per command; each imports what it needs only when it is called."""
