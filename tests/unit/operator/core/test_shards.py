"""A sharded job, whose pods divide the series: its Job, its result, and the shard that explains a failure."""

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.operator.api_server import START
from tests.unit.operator.core.plans import RUNNING, created, message_of, phase_of, reason_of
from tests.unit.operator.samples import (
    CA,
    CONFIG,
    SPEC,
    attempt_job,
    child,
    failure_text,
    job_view,
    observed,
    pod,
    result_text,
)
from trainyard_api import meta
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_api.wire import TrainerConfig, TrainingResult
from trainyard_operator.core.batch.outcome import failure_of, success_of
from trainyard_operator.core.objects import PodView
from trainyard_operator.core.plan import Create
from trainyard_operator.core.resolve import InvalidSpecError, refuse_unsupported
from trainyard_operator.core.training.planner import plan

FORECAST: dict[str, Any] = {
    **SPEC,
    "framework": "Prophet",
    "task": "Forecast",
    "data": {"uri": "s3://datasets/sales.csv", "time": "day", "series": "product", "target": "sold"},
    "forecast": {"horizon": 7},
}
SHARD = '{"outcome": "Succeeded", "made": "Shard", "message": "shard 1 of 3: 4 of 12 series are done"}'


def job_of(**spec: Any) -> dict[str, Any]:
    view = job_view(spec={**FORECAST, **spec})
    return attempt_job(view, TrainingJobSpec.model_validate(view.spec), 1, config=CONFIG, ca=CA)


def shard(index: int, exit_code: int | None = 0, seconds: float = 0, **more: Any) -> PodView:
    end = None if exit_code is None else START + timedelta(seconds=seconds)
    return pod(exit_code, name=f"diabetes-1-{index}-x", index=index, finished_at=end, **more)


def test_a_sharded_job_differs_only_in_its_indexed_mode() -> None:
    one, three = job_of(), job_of(shards=3)
    indexed = {name: three["spec"].pop(name) for name in ("completionMode", "completions", "parallelism")}
    assert indexed == {"completionMode": "Indexed", "completions": 3, "parallelism": 3}
    pods = [body["spec"]["template"] for body in (one, three)]
    settings = [TrainerConfig.parse(each["metadata"]["annotations"].pop(meta.CONFIG_ANNOTATION)) for each in pods]
    assert [each.spec.shards for each in settings] == [1, 3]
    assert three == one


@pytest.mark.parametrize("spec", [{"mode": "Prepare"}, {"framework": "LightGBM"}, {"framework": "Torch"}])
def test_shards_need_one_model_per_series(spec: dict[str, Any]) -> None:
    refuse_unsupported(TrainingJobSpec.model_validate({**FORECAST, "shards": 3}))
    with pytest.raises(InvalidSpecError, match=r"^spec\.shards 3 needs framework Prophet and mode Train"):
        refuse_unsupported(TrainingJobSpec.model_validate({**FORECAST, "shards": 3, **spec}))


def test_the_pod_that_merged_gives_the_result() -> None:
    later = START + timedelta(seconds=9)
    pods = (
        shard(0, termination_message=SHARD, created=later),
        shard(1, termination_message=result_text()),
        shard(2, termination_message=SHARD, created=later),
    )
    result = success_of(child(), pods)
    assert isinstance(result, TrainingResult)
    assert result.made == "Version"
    job = job_view(RUNNING, spec={**FORECAST, "shards": 3})
    step = plan(observed(job, child(complete=True), pods={"diabetes-1": pods}, versions={"diabetes-v1": None}))
    assert isinstance(step.actions[0], Create)
    assert created(step)["metadata"]["name"] == "diabetes-v1"


def test_two_merged_results_are_accepted() -> None:
    pods = (shard(0, termination_message=result_text()), shard(1, termination_message=result_text()))
    assert isinstance(success_of(child(), pods), TrainingResult)


def test_unmerged_shards_are_tried_again() -> None:
    pods = tuple(shard(index, termination_message=SHARD) for index in range(3))
    job = job_view(RUNNING, spec={**FORECAST, "shards": 3})
    step = plan(observed(job, child(complete=True), pods={"diabetes-1": pods}))
    assert (phase_of(step), reason_of(step)) == ("Retrying", "ShardsNotMerged")
    assert "the data changed while the pods read it" in message_of(step)
    assert step.status is not None
    next_one = plan(observed(job_view(step.status.wire(), spec=job.spec), child(complete=True), after=60))
    assert created(next_one)["metadata"]["name"] == "diabetes-2"


def test_the_first_failed_shard_explains_the_failure() -> None:
    """A failed shard fails the Job, and the other pods are then terminated."""
    pods = (
        shard(0, 75, 5, created=START + timedelta(seconds=1)),
        shard(1, 65, 5, termination_message=failure_text("BadData", "no rows")),
        shard(2, 1, 6),
    )
    failure = failure_of(child(failed=True), pods)
    assert (failure.reason, failure.message, failure.retryable) == ("BadData", "no rows", False)


def test_a_replaced_shard_that_succeeded_does_not_explain_a_failure() -> None:
    pods = (shard(0, 137, 1, disrupted=True), shard(0, 0, 9), shard(1, 69, 7))
    assert failure_of(child(failed=True), pods).exit_code == 69
