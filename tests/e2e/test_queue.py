"""A limit of one running job on a real node: the positions and reasons of the waiting jobs, and the order of starts."""

from collections.abc import Iterator
from itertools import chain, pairwise
from typing import Any

import pytest

from tests.e2e.stage import DEPLOYMENT, Json, Stage, condition
from trainyard_api import meta

ROWS = "x,y\n" + "".join(f"{n},{n * 2 + n % 3}\n" for n in range(200))
NOWHERE = {"trainyard.dev/no-node-has-this": "true"}


@pytest.fixture(scope="module")
def spec(stage: Stage) -> Json:
    data = {"uri": stage.put("queue.csv", ROWS), "target": "y"}
    return {"framework": "LightGBM", "task": "Regression", "data": data}


@pytest.fixture
def one_job_at_a_time(stage: Stage) -> Iterator[None]:
    stage.set_values("admission.maxConcurrentJobs=1")
    yield
    stage.set_values("admission.maxConcurrentJobs=0")


def queue_status(stage: Stage, *names: str) -> list[tuple[Any, ...]]:
    """Return phase, queue position and reason of jobs."""
    found = []
    for name in names:
        job = stage.get("tj", name)
        status = job.get("status", {})
        reason = condition(job, "Ready")["reason"] if "conditions" in status else ""
        found.append((status.get("phase"), status.get("queuePosition"), reason))
    return found


def test_queued_jobs_run_one_after_the_other_by_priority(stage: Stage, spec: Json, one_job_at_a_time: None) -> None:
    # The names sort in the order of creation, because two jobs may be created in the same second.
    names = ("q-low", "q-normal", "q-same-model", "q-urgent")
    stage.apply("q-holder", **spec, modelName="q-model", nodeSelector=NOWHERE)
    stage.wait_for_phase("q-holder", "Starting")
    stage.apply("q-low", **spec, priority="Low")
    stage.apply("q-normal", **spec)
    stage.apply("q-same-model", **spec, modelName="q-model")
    stage.apply("q-urgent", **spec, priority="Urgent")
    limited, locked = "ConcurrencyLimit", "ModelLocked"
    wanted = [("Queued", 4, limited), ("Queued", 2, limited), ("Queued", 1, locked), ("Queued", 1, limited)]
    stage.wait_until("the jobs to be queued", lambda: queue_status(stage, *names) == wanted, about="q-low")
    message = condition(stage.get("tj", "q-same-model"), "Ready")["message"]
    assert message == "waiting for TrainingJob q-holder: only one TrainingJob of model q-model runs at a time"
    rows = [row.split() for row in stage.kubectl("get", "tj", "-o", "wide").splitlines()]
    assert "QUEUE" in rows[0]
    assert "4" in next(row for row in rows if row[0] == "q-low")

    stage.kubectl("patch", "tj", "q-low", "--type=merge", '-p={"spec":{"priority":"Urgent"}}')
    wanted = [("Queued", 1, limited), ("Queued", 3, limited), ("Queued", 1, locked), ("Queued", 2, limited)]
    stage.wait_until(
        "q-low to move to the front of the queue", lambda: queue_status(stage, *names) == wanted, about="q-low"
    )

    before = {name: stage.get("tj", name)["metadata"]["resourceVersion"] for name in names}
    stage.operator("delete", "pod", "--selector=app.kubernetes.io/name=trainyard", "--grace-period=0", "--force")
    stage.operator("rollout", "status", DEPLOYMENT, "--timeout=120s")
    stage.apply("q-last", **spec, priority="Low")
    wanted = [("Queued", 5, limited)]
    stage.wait_until(
        "the new operator to queue the job", lambda: queue_status(stage, "q-last") == wanted, about="q-last"
    )
    after = {name: stage.get("tj", name)["metadata"]["resourceVersion"] for name in before}
    assert after == before, "the new operator writes no status again"

    stage.kubectl("patch", "tj", "q-holder", "--type=merge", '-p={"spec":{"cancel":true}}')
    stage.wait_for_phase("q-holder", "Cancelled")
    ended = [stage.wait_for_phase(name, "Succeeded", "Failed") for name in (*names, "q-last")]
    assert {job["status"]["phase"] for job in ended} == {"Succeeded"}
    assert all("queuePosition" not in job["status"] for job in ended)
    check_order(stage, ["q-low", "q-urgent", "q-normal", "q-same-model", "q-last"])


def check_order(stage: Stage, order: list[str]) -> None:
    """Check the order of the Jobs. Each one must be created after the end of the one before."""
    jobs = {name: stage.items("jobs", f"{meta.JOB_LABEL}={name}") for name in order}
    assert all(len(found) == 1 for found in jobs.values())
    created = [jobs[name][0]["metadata"]["creationTimestamp"] for name in order]
    ended = [jobs[name][0]["status"]["completionTime"] for name in order]
    assert all(end <= start for end, start in pairwise(chain(*zip(created, ended, strict=True)))), (created, ended)


def test_the_next_run_of_a_model_is_estimated(stage: Stage, spec: Json) -> None:
    first = _trained(stage, "q-first", spec)
    assert "estimatedDurationSeconds" not in first["status"]
    second = _trained(stage, "q-second", spec)
    seconds = second["status"]["estimatedDurationSeconds"]
    assert 0 < seconds < 240


def _trained(stage: Stage, name: str, spec: Json) -> Json:
    stage.apply(name, **spec, modelName="q-estimated")
    job = stage.wait_for_phase(name, "Succeeded", "Failed")
    assert job["status"]["phase"] == "Succeeded", condition(job, "Ready")["message"]
    return job
