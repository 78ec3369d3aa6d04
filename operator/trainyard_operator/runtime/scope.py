"""Where this process may decide and write."""

from typing import Protocol


class Scope(Protocol):
    """The namespaces that are ours to work in now."""

    def covers(self, namespace: str) -> bool:
        """Tell whether we may decide about the objects of a namespace."""
        ...

    def want(self, namespace: str) -> None:
        """Say that there is something to decide in a namespace that is not covered."""
        ...


class Everywhere:
    """All namespaces, for one operator that is alone."""

    def covers(self, namespace: str) -> bool:  # noqa: ARG002 - the signature of Scope
        """Return that it is."""
        return True

    def want(self, namespace: str) -> None:
        """Nothing is missing."""
