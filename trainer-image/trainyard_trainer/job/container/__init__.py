"""Framework Container: the two steps around a container of the user's own, see docs/trainer.md.

``fetch`` and ``register`` hold credentials and token; what runs between them has only the files that ``fetch`` laid out
and a folder for what it makes. Nothing that the user's container writes is trusted.
"""
