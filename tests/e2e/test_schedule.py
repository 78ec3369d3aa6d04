"""Schedules on a real node: by time, on request, and after a change of the template."""

import json
from datetime import datetime
from functools import partial
from typing import Any

import pytest

from tests.e2e.serving import REGRESSION
from tests.e2e.stage import Json, Stage, condition
from trainyard_api import meta

ROWS = "x,y\n" + "".join(f"{n},{n * 2 + n % 3}\n" for n in range(200))
MINUTE_SECONDS = 180


@pytest.fixture(scope="module")
def data(stage: Stage) -> Json:
    return {"uri": stage.put("scheduled.csv", ROWS), "target": "y"}


def apply(stage: Stage, name: str, data: Json, *, parameters: Json | None = None, **spec: Any) -> None:
    template = {"spec": {**REGRESSION, "data": data, "parameters": parameters or {"num_leaves": 7}}}
    body = {
        "apiVersion": "trainyard.dev/v1alpha1",
        "kind": "TrainingSchedule",
        "metadata": {"name": name},
        "spec": {**spec, "template": template},
    }
    stage.kubectl("apply", "-f", "-", stdin=json.dumps(body))


def runs(stage: Stage, name: str) -> list[str]:
    """Return the names of a schedule's TrainingJobs."""
    return sorted(job["metadata"]["name"] for job in stage.items("tj", f"{meta.SCHEDULE_LABEL}={name}"))


def status(stage: Stage, name: str) -> Json:
    found: Json = stage.get("tsched", name).get("status", {})
    return found


def test_a_schedule_runs_at_a_full_minute(stage: Stage, data: Json) -> None:
    apply(stage, "minutely", data, schedule="* * * * *", concurrencyPolicy="Forbid")
    name = stage.wait_until("schedule minutely to start a run", lambda: runs(stage, "minutely"), MINUTE_SECONDS)[0]
    apply(stage, "minutely", data, schedule="* * * * *", concurrencyPolicy="Forbid", suspend=True)
    job = stage.wait_for_phase(name, "Succeeded", "Failed")
    assert job["status"]["phase"] == "Succeeded"
    assert job["status"]["modelVersion"]["name"].startswith("minutely-v"), "the model has the name of the schedule"
    nominal = datetime.fromisoformat(job["metadata"]["annotations"][meta.SCHEDULED_FOR_ANNOTATION])
    assert (nominal.second, nominal.microsecond) == (0, 0)
    assert name == f"minutely-{int(nominal.timestamp()) // 60}"
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("TrainingSchedule", "minutely", True)

    def run_is_reported() -> Any:
        found = status(stage, "minutely")
        finished = found.get("phase") == "Suspended" and found.get("lastSuccessfulTime")
        return finished and not found.get("activeCount") and found

    found = stage.wait_until("schedule minutely to report its run", run_is_reported)
    assert datetime.fromisoformat(found["lastScheduleTime"]) >= nominal


def test_each_new_token_starts_one_run(stage: Stage, data: Json) -> None:
    apply(stage, "by-hand", data, schedule="0 0 1 1 *")
    stage.wait_until("schedule by-hand to be active", lambda: status(stage, "by-hand").get("nextScheduleTime"))
    assert runs(stage, "by-hand") == []

    def handled(token: str) -> bool:
        return bool(status(stage, "by-hand").get("lastHandledRunNow") == token)

    for token, expected in (("one", 1), ("one", 1), ("two", 2)):
        stage.kubectl("annotate", "tsched", "by-hand", f"{meta.RUN_NOW_ANNOTATION}={token}", "--overwrite")
        stage.wait_until(f"the run-now {token} to be handled", partial(handled, token))
        assert len(runs(stage, "by-hand")) == expected
    for name in runs(stage, "by-hand"):
        assert stage.wait_for_phase(name, "Succeeded", "Failed")["status"]["phase"] == "Succeeded"


def test_a_changed_template_starts_a_run(stage: Stage, data: Json) -> None:
    apply(stage, "on-change", data, runOnChange=True)
    (first,) = stage.wait_until("schedule on-change to run at creation", lambda: runs(stage, "on-change"))
    assert stage.wait_for_phase(first, "Succeeded", "Failed")["status"]["phase"] == "Succeeded"
    apply(stage, "on-change", data, runOnChange=True)
    apply(stage, "on-change", data, runOnChange=True, parameters={"num_leaves": 5})
    both = stage.wait_until("the change to train", lambda: len(found := runs(stage, "on-change")) > 1 and found)
    (second,) = set(both) - {first}
    job = stage.wait_for_phase(second, "Succeeded", "Failed")
    assert job["status"]["modelVersion"]["version"] == 2
    assert job["spec"]["parameters"] == {"num_leaves": 5}
    assert len(runs(stage, "on-change")) == 2, "one run for one change"


@pytest.mark.parametrize(
    ("name", "spec", "words"),
    [
        ("never", {"schedule": "0 0 31 2 *"}, "31"),
        ("nowhere", {"schedule": "0 0 * * *", "timeZone": "Europe/Atlantis"}, "Europe/Atlantis"),
    ],
)
def test_a_schedule_that_is_never_due_is_stalled(stage: Stage, data: Json, name: str, spec: Json, words: str) -> None:
    apply(stage, name, data, **spec)

    def stalled() -> Any:
        found = status(stage, name)
        return found.get("phase") == "Stalled" and found

    found = stage.wait_until(f"schedule {name} to be Stalled", stalled)
    assert words in condition({"status": found}, "Ready")["message"]
    assert runs(stage, name) == []
    stage.kubectl("delete", "tsched", name)
