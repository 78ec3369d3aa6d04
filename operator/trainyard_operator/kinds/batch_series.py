"""Metrics of batch kinds: how many objects wait and for what, and how many have failed and why."""

from typing import Final

from trainyard_operator.core.plan import Kind
from trainyard_operator.kinds.series import Family, Page, Seen, labels_of

_WAITING: Final = frozenset({"Pending", "Queued", "Starting", "Retrying"})


class BatchSeries:
    """The metrics of one batch kind. ``verb`` says what its objects do, for the description."""

    def __init__(self, kind: Kind, verb: str) -> None:
        prefix = f"trainyard_{kind.lower()}s"
        self._waiting = Family(f"{prefix}_waiting", f"{kind}s that wait to {verb}, by what they wait for")
        self._failed = Family(f"{prefix}_failed", f"{kind}s that have failed and still exist, by reason")
        self.families = (self._waiting, self._failed)

    def add(self, page: Page, job: Seen) -> None:
        """Count one object."""
        if job.phase in _WAITING:
            reason = page.reason(job.status, "Ready")
            labels = labels_of(namespace=job.namespace, phase=job.phase, reason=reason)
            page.counts[self._waiting][labels] += 1
        elif job.phase == "Failed":
            reason = page.reason(job.status, "Failed")
            page.counts[self._failed][labels_of(namespace=job.namespace, reason=reason)] += 1
