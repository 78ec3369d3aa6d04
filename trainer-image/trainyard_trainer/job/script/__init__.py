"""Framework Script: the user's own file, run by this image's Python, see docs/trainer.md.

The contract of files is that of framework Container. The script is a child of the trainer and shares its user and its
folders; what it is not given is a token, a credential, or a path to one.
"""
