"""What the queue and the store call an object."""

from typing import NamedTuple

from trainyard_operator.kube.watched import Kind


class Key(NamedTuple):
    """An object by namespace, name and kind."""

    namespace: str
    name: str
    kind: Kind = "TrainingJob"

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"
