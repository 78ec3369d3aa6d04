"""What holds after every step of the state machines of TrainingJobs."""

from collections import Counter
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine, invariant

from tests.unit.operator.cluster import Cluster
from trainyard_api.batch import TERMINAL_PHASES
from trainyard_operator.core.plan import Body
from trainyard_operator.kube.port import JOBS, MODEL_VERSIONS, TRAINING_JOBS

MAX_ATTEMPTS = 3


def is_finished(job: Body) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(c["type"] in ("Complete", "Failed") for c in conditions)


def has_ended(status: dict[str, Any]) -> bool:
    return status.get("phase") in TERMINAL_PHASES


class TrainingInvariants(RuleBasedStateMachine):
    """The invariants. A subclass adds the rules, and initializes these attributes."""

    replicas = 1
    cluster: Cluster
    terminal_statuses: dict[str, dict[str, Any]]
    """By uid: the status of each TrainingJob that has ended."""
    user_deleted: Counter[str]
    """By name: how often users deleted a Job."""
    suspended: Counter[str]
    """By uid: how often users suspended a TrainingJob."""
    restored: dict[str, dict[str, Any]]
    """By uid: the status before the restore of each TrainingJob that had ended."""

    def live(self) -> list[str]:
        return sorted(
            name
            for name, body in self.cluster.of(JOBS).items()
            if not is_finished(body) and "deletionTimestamp" not in body["metadata"]
        )

    def unfinished(self) -> set[str]:
        """Return the Jobs whose pods may still run, including Jobs that are being deleted."""
        return {name for name, body in self.cluster.of(JOBS).items() if not is_finished(body)}

    def owner(self, job: str) -> str:
        uid: str = self.cluster.of(JOBS)[job]["metadata"]["ownerReferences"][0]["uid"]
        return uid

    @invariant()
    def one_live_job_each(self) -> None:
        owners = Counter(self.owner(name) for name in self.unfinished())
        assert all(count == 1 for count in owners.values()), self.unfinished()

    @invariant()
    def suspended_jobs_have_no_pods(self) -> None:
        if self.replicas == 1:
            owners = {self.owner(name) for name in self.unfinished()}
            for body in self.cluster.of(TRAINING_JOBS).values():
                assert body["status"].get("phase") != "Suspended" or body["metadata"]["uid"] not in owners

    @invariant()
    def failures_stay_within_the_limit(self) -> None:
        for body in self.cluster.of(TRAINING_JOBS).values():
            attempts = body["status"].get("attempts") or []
            failed = [entry for entry in attempts if entry.get("reason") not in (None, "Suspended", "Completed")]
            assert len(failed) <= MAX_ATTEMPTS

    @invariant()
    def one_job_per_attempt(self) -> None:
        made = Counter((name, owner) for plural, name, owner in self.cluster.created if plural == "jobs")
        # Ignore Jobs of a TrainingJob whose deletion was not observed yet: they are garbage-collected.
        present = {body["metadata"]["uid"] for body in self.cluster.of(TRAINING_JOBS).values()}
        again = {
            name: count
            for (name, owner), count in made.items()
            if owner in present and count > 1 + self.user_deleted[name]
        }
        if self.replicas == 1:
            assert not again
        for owner, count in Counter(owner for _, owner in made).items():
            fallback = 1
            assert count <= MAX_ATTEMPTS + self.suspended[owner] + fallback, made

    @invariant()
    def one_version_each(self) -> None:
        versions = Counter(body["spec"]["trainingJob"]["uid"] for body in self.cluster.of(MODEL_VERSIONS).values())
        assert all(count == 1 for count in versions.values())

    @invariant()
    def terminal_statuses_never_change(self) -> None:
        for body in self.cluster.of(TRAINING_JOBS).values():
            uid, status = body["metadata"]["uid"], {**body["status"]}
            status.pop("observedGeneration")
            if uid in self.terminal_statuses:
                assert status == self.terminal_statuses[uid]
            elif status.get("phase") in TERMINAL_PHASES:
                self.terminal_statuses[uid] = status
                if status["phase"] == "Succeeded" and body["spec"].get("mode") == "Prepare":
                    assert "modelVersion" not in status
                    assert status["result"]["artifact"]["uri"] == "s3://models/team/job/datasets/u/1"
                elif status["phase"] == "Succeeded":
                    assert status["modelVersion"]["name"] in self.cluster.of(MODEL_VERSIONS)

    @invariant()
    def restored_finished_jobs_train_nothing(self) -> None:
        assert not {owner for plural, _, owner in self.cluster.created if plural == "jobs"} & self.restored.keys()
        for body in self.cluster.of(TRAINING_JOBS).values():
            if body["metadata"]["uid"] in self.restored and has_ended(body["status"]):
                before = self.restored[body["metadata"]["uid"]]
                for field in ("phase", "modelVersion", "verdict", "completionTime"):
                    assert body["status"].get(field) == before.get(field)
