"""Facts of batch objects, such as TrainingJobs, for the progress endpoint."""

from collections.abc import Mapping
from dataclasses import dataclass

from trainyard_api.batch import BatchStatus
from trainyard_operator.core.objects import BatchView
from trainyard_operator.core.plan import Kind
from trainyard_operator.runtime.store import Store


@dataclass(frozen=True)
class JobFacts:
    """Facts for checking a report: who may send one, and whether it is late.

    Attributes
    ----------
    kind
        The kind of the object. The uid identifies the object.
    attempt_job_uids
        The attempt of each child Job by the Job's uid.
    last_sequence
        The sequence number in the stored status. The next report has a greater one.
    """

    kind: Kind
    uid: str
    terminal: bool
    current_attempt: int
    attempt_job_uids: Mapping[str, int]
    last_sequence: int


class Directory:
    """Look up objects in the store. Every kind that runs to completion can report progress."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kinds = {kind.resource.plural: kind for kind in store.kinds.batch.values()}

    def find(self, plural: str, namespace: str, name: str) -> JobFacts | None:
        """Return the facts of an object, ``None`` if it does not exist. ``plural`` names its kind in the API."""
        kind = self._kinds.get(plural)
        job: BatchView[BatchStatus] | None = self._store.get(kind, namespace, name) if kind is not None else None
        if kind is None or job is None:
            return None
        workloads = self._store.workloads(kind, namespace, job.uid)
        attempts = {workload.uid: workload.attempt for workload in workloads}
        ended = {attempt.number for attempt in job.status.attempts or () if attempt.end is not None}
        ended |= {workload.attempt for workload in workloads if workload.finished}
        current = max(attempts.values(), default=0)
        progress = job.status.trainer_status
        return JobFacts(
            kind=kind.name,
            uid=job.uid,
            terminal=job.finished,
            current_attempt=0 if current in ended else current,
            attempt_job_uids=attempts,
            last_sequence=(progress.sequence or 0) if progress is not None else 0,
        )
