"""Framework Script: a Python file of the user, run by the Python of this image, see docs/trainer.md.

Input and output files are those of framework Container. The script is a child process of the trainer, and has the same
user and folders. It does not get a token, a credential, or a path to one.
"""
