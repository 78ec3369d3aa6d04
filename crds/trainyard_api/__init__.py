"""The contract between users, operator, trainer and server. It imports no other package of the project."""

GROUP = "trainyard.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
