"""Framework Container: the two steps around a container of the user, see docs/trainer.md.

``fetch`` and ``register`` have the credentials and the token. The container between them only has the files that
``fetch`` wrote and a folder for its output. No file that the user's container writes is trusted.
"""
