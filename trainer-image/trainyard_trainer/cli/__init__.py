"""The command line: arguments, commands, and a local training from one YAML file."""
