"""What an object that runs to an end asks of admission, read from its status and its workloads."""

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
"""A job keeps its place from its first attempt until it ends or is suspended, between two attempts too: whoever was
admitted is not put back into the line by a failure."""

QueueOrder = tuple[int, datetime, str, str, str]
"""What jobs are ordered by: rank of the priority, creation, name, namespace, and the uid."""


@dataclass(frozen=True)
class AdmissionRequest:
    """What one object asks for: the place that it holds, or waits for."""

    kind: Kind
    uid: str
    namespace: str
    name: str
    model: str
    rank: int
    created: datetime
    holds: bool

    @property
    def order(self) -> QueueOrder:
        """Where it stands in every line: smaller is earlier."""
        return (self.rank, self.created, self.name, self.namespace, self.uid)

    @property
    def in_namespace(self) -> Scope:
        """Where its namespace's limit holds."""
        return (self.namespace,)

    @property
    def in_model(self) -> Scope:
        """Where its model's lock holds."""
        return (self.namespace, self.model)


def request_of(
    kind: Kind, job: BatchView[BatchStatus], workloads: Iterable[WorkloadView], limits: Admission, *, reserved: bool
) -> AdmissionRequest | None:
    """Return what an object asks for, ``None`` for one that has ended or must not start.

    ``reserved`` says that the creation of its workload is under way, or that its answer was lost. A workload that has
    not ended holds its place whatever became of its owner, for its pods may still run.
    """
    over = job.finished or job.deleting
    holds = any(not workload.finished for workload in workloads)
    holds = holds or (not over and (reserved or job.status.phase in HOLDING_PHASES))
    if not holds and (over or job.spec.get("suspend") or job.spec.get("cancel")):
        return None
    rank = RANKS[limits.priority_in(job.namespace, job.spec.get("priority"))]
    return AdmissionRequest(kind, job.uid, job.namespace, job.name, job.model, rank, job.created, holds)
