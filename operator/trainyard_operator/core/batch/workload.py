"""What an attempt runs as, behind one port: how it is made, seen, limited, and of which objects it consists.

The planner knows no Job. It starts a :class:`Launch`, follows a
:class:`~trainyard_operator.core.objects.WorkloadView` and stops what it consists of. Today every attempt is one Job of
one or more pods (:data:`JOB`). What needs more objects, such as the headless Service of pods that talk to each other,
is another implementation of :class:`Workload`.
Kueue's jobframework has the same shape.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from trainyard_api.exit_codes import NON_RETRYABLE
from trainyard_operator.core.objects import WorkloadView
from trainyard_operator.core.plan import Apply, Body, Create, Kind

Children = Callable[[Kind], tuple[Any, ...]]
"""The children of one owner, as the store has them, by kind."""

FINAL_CODES: Final = [int(code) for code in NON_RETRYABLE]


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One attempt, ready to be made: what its pods are, and nothing of how they are kept together.

    Attributes
    ----------
    owner
        The reference to the object whose attempt it is.
    template
        Metadata and spec of its pods.
    containers
        Our containers. An exit code of theirs that no other attempt can change ends the attempt at once; what an
        injected sidecar ends with does not.
    pods
        How many there are, each with its index where there are several.
    limit
        Seconds that it may run, ``None`` without a limit.
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
    """A form in which attempts run."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of the objects that it consists of; the first is the one whose end is the attempt's."""
        ...

    def create(self, launch: Launch) -> tuple[Create, ...]:
        """Return what starts an attempt, in the order in which it is created."""
        ...

    def observe(self, children: Children) -> tuple[WorkloadView, ...]:
        """Return the workloads of an owner, each with all the objects that it consists of."""
        ...

    def limit(self, namespace: str, workload: WorkloadView, seconds: int) -> tuple[Apply, ...]:
        """Return what changes for how long exactly this workload may run, and nothing else of it."""
        ...


class JobWorkload:
    """One Job. It has one pod, or as many as share the work, and replaces those that something outside stops."""

    kinds: Final[tuple[Kind, ...]] = ("Job",)

    def create(self, launch: Launch) -> tuple[Create, ...]:
        """Return the Job. The planner tries again, with a pause and a record; so the Job itself never does."""
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
