"""Workloads behind one interface: how an attempt is created, observed and limited, and its objects.

The planner does not depend on Jobs. It starts a :class:`Launch`, follows a
:class:`~trainyard_operator.core.objects.WorkloadView` and deletes its objects. Today every attempt is one Job with one
or more pods (:data:`JOB`). Another implementation of :class:`Workload` can create more objects, for example a headless
Service for pods that communicate with each other. Kueue's jobframework has the same design.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from trainyard_api.exit_codes import NON_RETRYABLE
from trainyard_operator.core.objects import WorkloadView
from trainyard_operator.core.plan import Apply, Body, Create, Kind

Children = Callable[[Kind], tuple[Any, ...]]
"""The cached children of one owner, by kind."""

FINAL_CODES: Final = [int(code) for code in NON_RETRYABLE]


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One attempt, ready to be created. It describes the pods, not the object that manages them.

    Attributes
    ----------
    owner
        Owner reference of the object of the attempt.
    template
        Metadata and spec of its pods.
    containers
        Names of the operator's containers. If one of them ends with a final exit code, the attempt fails at once. Exit
        codes of injected sidecars are ignored.
    pods
        Number of pods. If there are several, each has an index.
    limit
        Maximum running time in seconds, ``None`` without a limit.
    """

    name: str
    namespace: str
    owner: Body
    labels: dict[str, str]
    annotations: dict[str, str]
    template: Body
    containers: tuple[str, ...]
    pods: int = 1
    limit: int | None = None


class Workload(Protocol):
    """Interface of a workload type."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Return the kinds of its objects. The attempt ends when the object of the first kind ends."""
        ...

    def create(self, launch: Launch) -> tuple[Create, ...]:
        """Return the objects of an attempt in the order of their creation."""
        ...

    def observe(self, children: Children) -> tuple[WorkloadView, ...]:
        """Return the workloads of an owner, each with all its objects."""
        ...

    def limit(self, namespace: str, workload: WorkloadView, seconds: int) -> tuple[Apply, ...]:
        """Return the change that sets how long this workload may run."""
        ...


class JobWorkload:
    """A Job with one or more pods. The Job replaces pods that something external stops."""

    kinds: Final[tuple[Kind, ...]] = ("Job",)

    def create(self, launch: Launch) -> tuple[Create, ...]:
        """Return the Job. It never retries, because the planner retries with a pause and a record."""
        metadata: Body = {
            "name": launch.name,
            "namespace": launch.namespace,
            "labels": launch.labels,
            **({"annotations": launch.annotations} if launch.annotations else {}),
            "ownerReferences": [launch.owner],
        }
        spec: Body = {
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    *(_fails_with(name) for name in launch.containers),
                ]
            },
            "template": launch.template,
        }
        if launch.pods > 1:
            spec.update(completionMode="Indexed", completions=launch.pods, parallelism=launch.pods)
        if launch.limit is not None:
            spec["activeDeadlineSeconds"] = launch.limit
        return (Create("Job", {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}),)

    def observe(self, children: Children) -> tuple[WorkloadView, ...]:
        """Return each Job."""
        return children("Job")

    def limit(self, namespace: str, workload: WorkloadView, seconds: int) -> tuple[Apply, ...]:
        """Return the change of the Job's ``activeDeadlineSeconds``."""
        body = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": workload.name, "namespace": namespace, "uid": workload.uid},
            "spec": {"activeDeadlineSeconds": seconds},
        }
        return (Apply("Job", body),)


JOB: Final = JobWorkload()


def _fails_with(container: str) -> Body:
    codes = {"containerName": container, "operator": "In", "values": FINAL_CODES}
    return {"action": "FailJob", "onExitCodes": codes}
