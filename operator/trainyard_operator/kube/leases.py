"""Leases of coordination.k8s.io/v1 as records."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from trainyard_api import meta
from trainyard_operator.core.lease import NEVER, Record, Standing
from trainyard_operator.core.plan import Body
from trainyard_operator.kube.errors import AlreadyExistsError, ConflictError, NotFoundError
from trainyard_operator.kube.port import LEASES, Resource

MIN_SECONDS = 1
"""The API server accepts only whole seconds, at least one."""

TRIES = 2
"""The second try is for a lost response to the last renewal: this process then holds a newer version of the Lease."""


@dataclass(frozen=True)
class LeaseName:
    """Namespace and name of a Lease."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class LeaseCalls(Protocol):
    """Required calls to the API server. A failed call raises a subclass of ``ApiError``."""

    async def get(self, resource: Resource, namespace: str, name: str) -> Body:
        """Read one object."""
        ...

    async def create(self, resource: Resource, namespace: str, body: Body) -> Body:
        """Create an object and return it as stored."""
        ...

    async def replace(self, resource: Resource, namespace: str, name: str, body: Body) -> Body:
        """Replace an object that has not changed since its ``metadata.resourceVersion``, and return it as stored."""
        ...


class Leases:
    """Read, acquire, renew and release Leases. This class neither waits nor decides when."""

    def __init__(self, calls: LeaseCalls, clock: Callable[[], float], wall: Callable[[], datetime]) -> None:
        """Create the client. ``clock`` counts seconds and never goes back; ``wall`` returns the time for people."""
        self._calls = calls
        self._clock = clock
        self._wall = wall

    async def step(self, lease: LeaseName, standing: Standing, *, address: str = "") -> Standing:
        """Acquire or renew a Lease if allowed, else read it.

        Raises
        ------
        ApiError
            If the API server does not respond, or forbids it. What is certain stays certain until its time is over.
        """
        if standing.seen is None or standing.other is not None:
            standing = standing.observed(await self.read(lease), self._clock())
        for _ in range(TRIES):
            if standing.free_in(self._clock()) > 0:
                break
            started = self._clock()
            wanted = standing.wanted(time=self._time(), address=address)
            try:
                return standing.written(await self._write(lease, wanted), started)
            except (AlreadyExistsError, ConflictError, NotFoundError) as error:
                if isinstance(error, NotFoundError) and not wanted.version:
                    raise  # the namespace does not exist
            standing = standing.observed(await self.read(lease), self._clock())
        return standing

    async def release(self, lease: LeaseName, standing: Standing) -> Standing:
        """Release a Lease. A Lease of another holder is not changed.

        Raises
        ------
        ApiError
            If the API server does not respond. The Lease then expires.
        """
        given = standing.released(time=self._time())
        if given is None:
            return standing
        try:
            return standing.written(await self._write(lease, given), self._clock())
        except (ConflictError, NotFoundError):
            return replace(standing, certain=NEVER)

    async def read(self, lease: LeaseName) -> Record | None:
        """Return the content of a Lease, ``None`` if it does not exist.

        Raises
        ------
        ApiError
            If the API server does not respond, or refuses the request.
        """
        try:
            return record(await self._calls.get(LEASES, lease.namespace, lease.name))
        except NotFoundError:
            return None

    async def _write(self, lease: LeaseName, wanted: Record) -> Record:
        body = _body(lease, wanted)
        if wanted.version:
            return record(await self._calls.replace(LEASES, lease.namespace, lease.name, body))
        return record(await self._calls.create(LEASES, lease.namespace, body))

    def _time(self) -> str:
        return f"{self._wall():%Y-%m-%dT%H:%M:%S.%f}Z"


def record(body: Body) -> Record:
    """Parse a Lease. A missing field is empty."""
    metadata, spec = body["metadata"], body.get("spec") or {}
    return Record(
        holder=spec.get("holderIdentity") or "",
        duration=float(spec.get("leaseDurationSeconds") or MIN_SECONDS),
        renewed=spec.get("renewTime") or "",
        acquired=spec.get("acquireTime") or "",
        transitions=int(spec.get("leaseTransitions") or 0),
        address=(metadata.get("annotations") or {}).get(meta.ADDRESS_ANNOTATION, ""),
        version=str(metadata.get("resourceVersion", "")),
    )


def _body(lease: LeaseName, wanted: Record) -> Body:
    metadata: Body = {
        "name": lease.name,
        "namespace": lease.namespace,
        "labels": {meta.MANAGED_BY_LABEL: meta.MANAGED_BY},
    }
    if wanted.address:
        metadata["annotations"] = {meta.ADDRESS_ANNOTATION: wanted.address}
    if wanted.version:
        metadata["resourceVersion"] = wanted.version
    spec: Body = {
        "holderIdentity": wanted.holder,
        "leaseDurationSeconds": max(MIN_SECONDS, round(wanted.duration)),
        "renewTime": wanted.renewed,
        "leaseTransitions": wanted.transitions,
    }
    if wanted.acquired:
        spec["acquireTime"] = wanted.acquired
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
