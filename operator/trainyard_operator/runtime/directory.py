"""TrainingJob facts for the progress endpoint."""

from collections.abc import Mapping
from dataclasses import dataclass

from trainyard_operator.kinds.training_job import TRAINING_JOB
from trainyard_operator.runtime.store import Store


@dataclass(frozen=True)
class JobFacts:
    """Facts for checking a report: who may send one, and whether it is late.

    Attributes
    ----------
    attempt_job_uids
        The attempt of each child Job by the Job's uid.
    last_sequence
        The sequence number in the stored status. The next report has a greater one.
    """

    uid: str
    terminal: bool
    current_attempt: int
    attempt_job_uids: Mapping[str, int]
    last_sequence: int


class Directory:
    """Look up TrainingJobs in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, namespace: str, name: str) -> JobFacts | None:
        """Return the facts of a TrainingJob, ``None`` if there is none."""
        job = self._store.get(TRAINING_JOB, namespace, name)
        if job is None:
            return None
        workloads = self._store.workloads(TRAINING_JOB, namespace, job.uid)
        attempts = {workload.uid: workload.attempt for workload in workloads}
        ended = {attempt.number for attempt in job.status.attempts or () if attempt.end is not None}
        ended |= {workload.attempt for workload in workloads if workload.finished}
        current = max(attempts.values(), default=0)
        progress = job.status.trainer_status
        return JobFacts(
            uid=job.uid,
            terminal=job.finished,
            current_attempt=0 if current in ended else current,
            attempt_job_uids=attempts,
            last_sequence=(progress.sequence or 0) if progress is not None else 0,
        )
