"""The contract between users, operator, trainer and server. Imports nothing else of the project."""

GROUP = "trainyard.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
