"""What the queue and the store call an object."""

from typing import NamedTuple


class Key(NamedTuple):
    """A TrainingJob by namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"
