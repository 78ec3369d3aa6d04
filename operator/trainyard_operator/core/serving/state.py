"""Input of the ModelDeployment planner."""

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.core.facts import Refusal
from trainyard_operator.core.naming import serving_name, version_name
from trainyard_operator.core.objects import (
    DeploymentView,
    DisruptionBudgetView,
    ModelDeploymentView,
    ModelVersionView,
    ServiceView,
    ServingPodView,
)


@dataclass(frozen=True)
class ServingState:
    """Input of one planning decision."""

    deployment: ModelDeploymentView
    versions: tuple[ModelVersionView, ...]
    """Versions of its model, in any order."""
    children: tuple[DeploymentView, ...]
    service: ServiceView | None
    others: tuple[ModelDeploymentView, ...]
    """Other ModelDeployments of the same model in the namespace."""
    now: datetime
    config: OperatorConfig
    serving_pods: dict[str, tuple[ServingPodView, ...]] = field(default_factory=dict)
    """Pods by the name of their Deployment, for those that were requested."""
    may_update: bool | None = None
    """Whether pods may be replaced now for a change of the operator only. ``None`` means not requested yet."""
    refused: Refusal | None = None
    budget: DisruptionBudgetView | None = None

    @cached_property
    def known(self) -> tuple[ModelVersionView, ...]:
        """Versions that are not being deleted and have the canonical name of their number."""
        return tuple(v for v in self.versions if not v.deleting and v.name == version_name(v.model, v.version))

    def version(self, number: int | None) -> ModelVersionView | None:
        """Return a version by its number."""
        return self._by_number.get(number) if number is not None else None

    @cached_property
    def _by_number(self) -> dict[int, ModelVersionView]:
        return {v.version: v for v in self.known}

    def child(self, number: int | None) -> DeploymentView | None:
        """Return the Deployment of a version, including one that is being deleted."""
        if number is None:
            return None
        name = serving_name(self.deployment, number)
        return next((child for child in self.children if child.name == name and child.version == number), None)

    def ready_pods(self, number: int | None) -> int:
        """Return the number of ready pods of a version."""
        child = self.child(number)
        return child.ready if child is not None and not child.deleting else 0

    def pods_of(self, number: int | None) -> tuple[ServingPodView, ...]:
        """Return the pods of a version's newest template, if they were requested.

        Pods from before an edit stay until the new ones are ready. Their failures are ignored, because the edit may fix
        them.
        """
        child = self.child(number)
        pods = self.serving_pods.get(child.name, ()) if child is not None else ()
        newest = max(pods, key=lambda pod: (pod.created, pod.name), default=None)
        return tuple(pod for pod in pods if newest is not None and pod.template == newest.template)
