"""Interface to the API server: the calls that the operator needs.

Bodies are plain JSON dicts in both directions. A pod template must reach the server exactly as rendered, and typed
clients drop or refuse unknown fields (docs/decisions/).
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from trainyard_operator.core.plan import Body


@dataclass(frozen=True)
class Resource:
    """A REST resource, for example ``Resource("batch", "v1", "jobs")``; the core group is ``""``."""

    group: str
    version: str
    plural: str

    @property
    def base(self) -> str:
        """The path before ``/namespaces/...``."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"


TRAINING_JOBS = Resource("trainyard.dev", "v1alpha1", "trainingjobs")
PREDICTION_JOBS = Resource("trainyard.dev", "v1alpha1", "predictionjobs")
TRAINING_SCHEDULES = Resource("trainyard.dev", "v1alpha1", "trainingschedules")
MODEL_DEPLOYMENTS = Resource("trainyard.dev", "v1alpha1", "modeldeployments")
MODEL_VERSIONS = Resource("trainyard.dev", "v1alpha1", "modelversions")
JOBS = Resource("batch", "v1", "jobs")
DEPLOYMENTS = Resource("apps", "v1", "deployments")
SERVICES = Resource("", "v1", "services")
POD_DISRUPTION_BUDGETS = Resource("policy", "v1", "poddisruptionbudgets")
PODS = Resource("", "v1", "pods")
EVENTS = Resource("events.k8s.io", "v1", "events")
"""For reading Events, by the uid of their object."""
CORE_EVENTS = Resource("", "v1", "events")
"""For writing Events. Both APIs have the same objects."""
SECRETS = Resource("", "v1", "secrets")
LEASES = Resource("coordination.k8s.io", "v1", "leases")


@dataclass(frozen=True)
class TokenIdentity:
    """Owner of a token, as TokenReview reports it."""

    username: str
    audiences: tuple[str, ...]
    extra: Mapping[str, tuple[str, ...]]


class KubePort(Protocol):
    """Interface of the client.

    A failed call raises a subclass of :class:`~trainyard_operator.kube.errors.ApiError`.
    """

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

        ``namespace=None`` means all namespaces; ``selector`` is a label selector, ``fields`` a field selector.
        """
        ...

    async def create(self, resource: Resource, namespace: str, body: Body) -> Body:
        """Create an object and return it as stored."""
        ...

    async def apply(self, resource: Resource, namespace: str, body: Body, *, force: bool) -> Body:
        """Apply a body on the server and return the object as stored.

        With ``force``, fields of other managers are taken over. Without it, another manager's field with a different
        value is a :class:`~trainyard_operator.kube.errors.ConflictError`.
        """
        ...

    async def patch_status(self, resource: Resource, namespace: str, name: str, patch: Body) -> Body:
        """Merge ``patch`` through ``/status``.

        With a ``metadata.resourceVersion``, the object must be unchanged since.
        """
        ...

    async def annotate(
        self, resource: Resource, namespace: str, name: str, annotations: Mapping[str, str], *, resource_version: str
    ) -> Body:
        """Set annotations of an object that is unchanged since ``resource_version``, and return it as stored."""
        ...

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str, resource_version: str | None = None
    ) -> None:
        """Delete exactly the object with this uid, with foreground propagation. If it is absent, this succeeds.

        With ``resource_version``, the object must be unchanged since.
        """
        ...

    async def review_token(self, token: str, audience: str) -> TokenIdentity | None:
        """Return the identity of ``token`` if it is valid for ``audience``, ``None`` otherwise."""
        ...
