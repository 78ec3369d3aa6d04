"""``mode: Prepare``: the Job produces a dataset, and never a ModelVersion."""

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.operator.core.plans import RUNNING, message_of, phase_of, reason_of, stored
from tests.unit.operator.samples import (
    CA,
    CONFIG,
    SPEC,
    attempt_job,
    child,
    dataset_text,
    job_view,
    observed,
    pod,
    result_text,
)
from tests.unit.operator.schedules import TEMPLATE, World
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_operator.core.config import Images, OperatorConfig
from trainyard_operator.core.plan import NOTHING, Plan
from trainyard_operator.core.training.planner import plan

PREPARE = {
    **SPEC,
    "mode": "Prepare",
    "objective": {"metric": "mae"},
    "gates": [{"metric": "mae", "op": "<", "value": 1}],
}

BACKTEST = {
    **SPEC,
    "mode": "Backtest",
    "task": "Forecast",
    "data": {**SPEC["data"], "time": "day"},
    "forecast": {"horizon": 7},
    "backtest": {"windows": 3},
}


def ended(text: str, spec: dict[str, Any] = PREPARE) -> Plan:
    """Return the plan for a complete Job whose pod left this termination message."""
    pods = {"diabetes-1": (pod(0, termination_message=text),)}
    return plan(observed(job_view(RUNNING, spec=spec), child(complete=True), pods=pods))


def test_a_dataset_job_succeeds_with_an_artifact_and_without_a_version() -> None:
    step = ended(dataset_text(warnings=["few rows"]))
    assert (phase_of(step), step.actions, step.needs) == ("Succeeded", (), ())
    assert message_of(step) == "prepared a dataset of 442 rows and 12 columns, sha256:ab"
    status = step.status
    assert status is not None
    assert status.result is not None
    assert status.result.artifact is not None
    assert status.result.artifact.uri == "s3://models/team/job/datasets/u/1"
    assert status.result.report == "s3://models/team/job/datasets/u/1/profile.html"
    assert status.result.warnings == ["few rows"]
    assert (status.model_version, status.objective_value) == (None, None)
    assert status.trainer_status is not None
    assert status.trainer_status.progress_percentage == 100
    assert [(c.type, c.status) for c in status.conditions or ()] == [("Ready", "True"), ("Complete", "True")]
    assert [event.reason for event in step.events] == ["Succeeded"]
    after = replace(stored(job_view(spec=PREPARE), step), generation=1)
    assert plan(observed(after, child(complete=True))) == NOTHING


def test_a_backtest_succeeds_with_metrics_and_without_a_version() -> None:
    result = {
        "made": "Backtest",
        "message": "a backtest of 3 windows",
        "metrics": [{"name": "backtest_mae", "value": "2"}],
    }
    step = ended(dataset_text(**result), BACKTEST)
    assert (phase_of(step), step.actions, step.needs) == ("Succeeded", (), ())
    assert message_of(step) == "completed a backtest of 3 windows"
    status = step.status
    assert status is not None
    assert status.result is not None
    assert [metric.wire() for metric in status.result.metrics or ()] == result["metrics"]
    assert (status.model_version, status.objective_value) == (None, None)
    after = replace(stored(job_view(spec=BACKTEST), step), generation=1)
    assert plan(observed(after, child(complete=True))) == NOTHING


@pytest.mark.parametrize(
    ("text", "spec", "message"),
    [
        (result_text(), PREPARE, "a Version, but spec.mode Prepare requires a Dataset"),
        (dataset_text(), SPEC, "a Dataset, but spec.mode Train requires a Version"),
        (dataset_text(artifact=None), PREPARE, "a Succeeded result of a dataset needs its artifact"),
        (dataset_text(), BACKTEST, "a Dataset, but spec.mode Backtest requires a Backtest"),
        (dataset_text(made="Backtest"), PREPARE, "a Backtest, but spec.mode Prepare requires a Dataset"),
        (dataset_text(made="Backtest", artifact=None), BACKTEST, "a Succeeded result of a backtest needs its artifact"),
    ],
)
def test_a_result_of_another_mode_is_a_failure(text: str, spec: dict[str, Any], message: str) -> None:
    step = ended(text, spec)
    assert (phase_of(step), reason_of(step)) == ("Failed", "ResultMissing")
    assert message in message_of(step)


@pytest.mark.parametrize(
    "fields",
    [
        {"framework": "Container", "image": "mine:1", "command": ["train"]},
        {"framework": "Script", "script": {"configMapRef": {"name": "code", "key": "train.py"}}},
    ],
)
def test_the_users_own_code_is_not_run(fields: dict[str, Any]) -> None:
    """The pod has only the trainer's container, with the trainer's image."""
    view = job_view(spec={**PREPARE, **fields})
    spec = TrainingJobSpec.model_validate(view.spec)
    config = OperatorConfig(images=Images(trainer="trainer:1"))
    body = attempt_job(view, spec, 1, config=config, ca=CA)
    template = body["spec"]["template"]["spec"]
    (container,) = template["containers"]
    assert (container["image"], "command" in container, "initContainers" in template) == ("trainer:1", False, False)
    assert [volume["name"] for volume in template["volumes"]] == ["trainyard", "work"]
    rules = body["spec"]["podFailurePolicy"]["rules"]
    assert [rule["onExitCodes"]["containerName"] for rule in rules[1:]] == ["trainer"]


def test_a_schedule_prepares_one_dataset_after_the_other() -> None:
    world = World(template={"spec": {**TEMPLATE["spec"], "mode": "Prepare"}})
    for hour in ("09", "10"):
        world.go_to(f"{hour}:00:00")
        world.end_all("Succeeded")
    assert world.times() == ["09:00", "10:00"]
    assert {job["spec"]["mode"] for job in world.jobs.values()} == {"Prepare"}
    assert world.status["activeCount"] == 0
    assert world.status["lastSuccessfulTime"] is not None


def test_an_image_for_a_built_in_framework_prepares_too() -> None:
    view = job_view(spec={**PREPARE, "image": "own-trainer:2"})
    body = attempt_job(view, TrainingJobSpec.model_validate(view.spec), 1, config=CONFIG, ca=CA)
    assert body["spec"]["template"]["spec"]["containers"][0]["image"] == "own-trainer:2"
