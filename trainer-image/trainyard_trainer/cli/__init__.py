"""The command line: its arguments, its commands, and the training of one file on this machine."""
