"""One place for all on a real node: who waits, where and why, and who goes next."""

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
def one_place(stage: Stage) -> Iterator[None]:
    stage.set_values("admission.maxConcurrentJobs=1")
    yield
    stage.set_values("admission.maxConcurrentJobs=0")


def line(stage: Stage, *names: str) -> list[tuple[Any, ...]]:
    """Return phase, place in line and reason of jobs."""
    found = []
    for name in names:
        job = stage.get("tj", name)
        status = job.get("status", {})
        reason = condition(job, "Ready")["reason"] if "conditions" in status else ""
        found.append((status.get("phase"), status.get("queuePosition"), reason))
    return found


def test_one_after_the_other(stage: Stage, spec: Json, one_place: None) -> None:
    names = ("q-low", "q-normal", "q-same-model", "q-urgent")  # by name as by age: two may come in one second
    stage.apply("q-holder", **spec, modelName="q-model", nodeSelector=NOWHERE)
    stage.wait_for_phase("q-holder", "Starting")
    stage.apply("q-low", **spec, priority="Low")
    stage.apply("q-normal", **spec)
    stage.apply("q-same-model", **spec, modelName="q-model")
    stage.apply("q-urgent", **spec, priority="Urgent")
    full, locked = "ConcurrencyLimit", "ModelLocked"
    wanted = [("Queued", 4, full), ("Queued", 2, full), ("Queued", 1, locked), ("Queued", 1, full)]
    stage.wait_until("the line to form", lambda: line(stage, *names) == wanted, about="q-low")
    message = condition(stage.get("tj", "q-same-model"), "Ready")["message"]
    assert message == "waiting for TrainingJob q-holder: only one TrainingJob of model q-model runs at a time"
    rows = [row.split() for row in stage.kubectl("get", "tj", "-o", "wide").splitlines()]
    assert "QUEUE" in rows[0]
    assert "4" in next(row for row in rows if row[0] == "q-low")

    stage.kubectl("patch", "tj", "q-low", "--type=merge", '-p={"spec":{"priority":"Urgent"}}')
    wanted = [("Queued", 1, full), ("Queued", 3, full), ("Queued", 1, locked), ("Queued", 2, full)]
    stage.wait_until("q-low to overtake", lambda: line(stage, *names) == wanted, about="q-low")

    before = {name: stage.get("tj", name)["metadata"]["resourceVersion"] for name in names}
    stage.operator("delete", "pod", "--selector=app.kubernetes.io/name=trainyard", "--grace-period=0", "--force")
    stage.operator("rollout", "status", DEPLOYMENT, "--timeout=120s")
    stage.apply("q-last", **spec, priority="Low")
    wanted = [("Queued", 5, full)]
    stage.wait_until("the new operator to speak", lambda: line(stage, "q-last") == wanted, about="q-last")
    after = {name: stage.get("tj", name)["metadata"]["resourceVersion"] for name in before}
    assert after == before, "the new operator knows what the old one knew"

    stage.kubectl("patch", "tj", "q-holder", "--type=merge", '-p={"spec":{"cancel":true}}')
    stage.wait_for_phase("q-holder", "Cancelled")
    ended = [stage.wait_for_phase(name, "Succeeded", "Failed") for name in (*names, "q-last")]
    assert {job["status"]["phase"] for job in ended} == {"Succeeded"}
    assert all("queuePosition" not in job["status"] for job in ended)
    one_at_a_time(stage, ["q-low", "q-urgent", "q-normal", "q-same-model", "q-last"])


def one_at_a_time(stage: Stage, order: list[str]) -> None:
    """Check in which order Jobs came, and that none came before the one before had ended."""
    jobs = {name: stage.items("jobs", f"{meta.JOB_LABEL}={name}") for name in order}
    assert all(len(found) == 1 for found in jobs.values())
    came = [jobs[name][0]["metadata"]["creationTimestamp"] for name in order]
    ended = [jobs[name][0]["status"]["completionTime"] for name in order]
    assert all(end <= start for end, start in pairwise(chain(*zip(came, ended, strict=True)))), (came, ended)


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
