"""Admission request of an object that runs to completion, from its status and its workloads."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from trainyard_api.batch import BatchStatus, Phase
from trainyard_operator.core.admission.decision import Scope
from trainyard_operator.core.config import RANKS, Admission
from trainyard_operator.core.objects import BatchView, WorkloadView
from trainyard_operator.core.plan import Kind

HOLDING_PHASES: Final[frozenset[Phase]] = frozenset({"Starting", "Running", "Retrying"})
"""A job keeps its slot from its first attempt until it ends or is suspended, including pauses between attempts.

A failure does not put it back into the queue.
"""

QueueOrder = tuple[int, datetime, str, str, str]
"""Sort key of jobs: rank of the priority, creation time, name, namespace and uid."""


@dataclass(frozen=True)
class AdmissionRequest:
    """Request of one object, which holds a slot or waits for one."""

    kind: Kind
    uid: str
    namespace: str
    name: str
    exclusive_name: str
    rank: int
    created: datetime
    holds: bool

    @property
    def order(self) -> QueueOrder:
        """Its sort key in every queue. A smaller key is earlier."""
        return (self.rank, self.created, self.name, self.namespace, self.uid)

    @property
    def in_namespace(self) -> Scope:
        """Scope of its namespace's limit."""
        return (self.namespace,)

    @property
    def in_model(self) -> Scope:
        """Scope of the objects of which one runs at a time: the TrainingJobs of a model."""
        return (self.namespace, self.exclusive_name)


def request_of(
    kind: Kind, job: BatchView[BatchStatus], workloads: Iterable[WorkloadView], limits: Admission, *, reserved: bool
) -> AdmissionRequest | None:
    """Return the request of an object, ``None`` if it has ended or must not start.

    ``reserved`` means that its workload is being created, or that the response to the create request was lost. A
    workload that has not ended holds its slot, whatever happened to its owner, because its pods may still run.
    """
    over = job.finished or job.deleting
    holds = any(not workload.finished for workload in workloads)
    holds = holds or (not over and (reserved or job.status.phase in HOLDING_PHASES))
    if not holds and (over or job.spec.get("suspend") or job.spec.get("cancel")):
        return None
    rank = RANKS[limits.priority_in(job.namespace, job.spec.get("priority"))]
    return AdmissionRequest(kind, job.uid, job.namespace, job.name, job.exclusive_name, rank, job.created, holds)
