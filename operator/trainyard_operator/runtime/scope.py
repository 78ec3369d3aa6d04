"""Scope of this process: where it may decide and write."""

from typing import Protocol


class Scope(Protocol):
    """The namespaces in which this process works now."""

    def covers(self, namespace: str) -> bool:
        """Return whether this process may decide about the objects of a namespace."""
        ...

    def want(self, namespace: str) -> None:
        """Request a namespace that has pending decisions and is not covered."""
        ...


class Everywhere:
    """All namespaces, for a single operator."""

    def covers(self, namespace: str) -> bool:  # noqa: ARG002 - the signature of Scope
        """Return ``True``."""
        return True

    def want(self, namespace: str) -> None:
        """Do nothing, because all namespaces are covered."""
