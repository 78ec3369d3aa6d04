"""The port to the API server: what the operator asks of a cluster, and nothing more.

Bodies are plain JSON dicts in both directions: a pod template must reach the server exactly as it was rendered, and
typed clients drop or refuse fields they do not know (docs/decisions/).
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from trainyard_operator.core.plan import Body


@dataclass(frozen=True)
class Resource:
    """A REST resource, e.g. ``Resource("batch", "v1", "jobs")``; the core group is ``""``."""

    group: str
    version: str
    plural: str

    @property
    def base(self) -> str:
        """The path in front of ``/namespaces/...``."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"


TRAINING_JOBS = Resource("trainyard.dev", "v1alpha1", "trainingjobs")
TRAINING_SCHEDULES = Resource("trainyard.dev", "v1alpha1", "trainingschedules")
MODEL_DEPLOYMENTS = Resource("trainyard.dev", "v1alpha1", "modeldeployments")
MODEL_VERSIONS = Resource("trainyard.dev", "v1alpha1", "modelversions")
JOBS = Resource("batch", "v1", "jobs")
DEPLOYMENTS = Resource("apps", "v1", "deployments")
SERVICES = Resource("", "v1", "services")
POD_DISRUPTION_BUDGETS = Resource("policy", "v1", "poddisruptionbudgets")
PODS = Resource("", "v1", "pods")
EVENTS = Resource("events.k8s.io", "v1", "events")
"""Where Events are read: by the uid of what they are about."""
CORE_EVENTS = Resource("", "v1", "events")
"""Where ours are written; the same objects."""
SECRETS = Resource("", "v1", "secrets")
LEASES = Resource("coordination.k8s.io", "v1", "leases")


@dataclass(frozen=True)
class TokenIdentity:
    """Who a token belongs to, as TokenReview says."""

    username: str
    audiences: tuple[str, ...]
    extra: Mapping[str, tuple[str, ...]]


class KubePort(Protocol):
    """Every call that fails raises a subclass of :class:`~trainyard_operator.kube.errors.ApiError`."""

    async def get(self, resource: Resource, namespace: str, name: str) -> Body:
        """Read one object."""
        ...

    def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        selector: str = "",
        fields: str = "",
        limit: int = 500,
    ) -> AsyncIterator[Body]:
        """Iterate over objects, page by page.

        ``namespace=None`` means all; ``selector`` is a label selector, ``fields`` a field selector.
        """
        ...

    async def create(self, resource: Resource, namespace: str, body: Body) -> Body:
        """Create an object and return it as stored."""
        ...

    async def apply(self, resource: Resource, namespace: str, body: Body, *, force: bool) -> Body:
        """Apply a body on the server and return the object as stored.

        ``force`` takes over fields that others set; without it a field of somebody else with another value is a
        :class:`~trainyard_operator.kube.errors.ConflictError`.
        """
        ...

    async def patch_status(self, resource: Resource, namespace: str, name: str, patch: Body) -> Body:
        """Merge ``patch`` through ``/status``; with a ``metadata.resourceVersion`` in it, only if unchanged since."""
        ...

    async def annotate(
        self, resource: Resource, namespace: str, name: str, annotations: Mapping[str, str], *, resource_version: str
    ) -> Body:
        """Set annotations of an object, if it is unchanged since; return it as stored."""
        ...

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str, resource_version: str | None = None
    ) -> None:
        """Delete exactly the object with this uid, its dependents in the foreground. Absent already is success.

        With ``resource_version`` only if it is unchanged since.
        """
        ...

    async def review_token(self, token: str, audience: str) -> TokenIdentity | None:
        """Ask whether ``token`` is valid for ``audience``; ``None`` when it is not."""
        ...
