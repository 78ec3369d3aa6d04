"""The planner in any state: it is deterministic, and it stops writing."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.operator.api_server import START
from tests.unit.operator.core.plans import VERSION, phase_of
from tests.unit.operator.samples import (
    SPEC,
    child,
    failure_text,
    job_view,
    observed,
    pod,
    result_text,
    version_view,
)
from trainyard_api.batch import TrainerStatus
from trainyard_api.trainingjob import TrainingJobStatus
from trainyard_operator.core.admission.decision import ADMITTED, Waiting
from trainyard_operator.core.facts import Refusal
from trainyard_operator.core.times import to_rfc3339
from trainyard_operator.core.training.planner import plan
from trainyard_operator.core.training.state import TrainingState

_moments = st.integers(-100, 10_000).map(lambda s: START + timedelta(seconds=s))
_stamps = _moments.map(to_rfc3339)
_limits = st.none() | st.integers(1, 20_000)
_texts = st.sampled_from(
    ["", "{", result_text(), result_text(version=3), failure_text("BadData", "é" * 1024), '{"outcome": 1}', "x" * 5000]
)
_pods = st.builds(
    pod,
    exit_code=st.none() | st.integers(-1, 400),
    created=_moments,
    disrupted=st.booleans(),
    exit_reason=st.sampled_from(["", "OOMKilled", "Error"]),
    termination_message=_texts,
    finished_at=st.none() | _moments,
    waiting=st.sampled_from(["", "ErrImagePull: no", "Unschedulable: 1 Insufficient nvidia.com/gpu."]),
    started=st.booleans(),
    running=st.booleans(),
    lost=st.booleans(),
    deleting=st.booleans(),
    cause=st.sampled_from(["", "Evicted", "PreemptionByScheduler", "OutOfcpu", "no word"]),
    disrupted_at=st.none() | _moments,
)
_children = st.lists(
    st.builds(
        child,
        attempt=st.integers(1, 4),
        deleting=st.booleans(),
        ready=st.integers(0, 1),
        active=st.integers(0, 1),
        terminating=st.integers(0, 1),
        finishing=st.booleans(),
        start=st.none() | _moments,
        end=st.none() | _moments,
        deadline=_limits,
        complete=st.booleans(),
        failed=st.booleans(),
        failure_reason=st.sampled_from(["", "DeadlineExceeded", "BackoffLimitExceeded"]),
    ),
    max_size=3,
    unique_by=lambda view: view.attempt,
)
_attempts = st.lists(
    st.fixed_dictionaries(
        {"number": st.integers(1, 5)},
        optional={
            "reason": st.sampled_from(["OOMKilled", "Crashed", "Suspended", "PodsReadyTimeout"]),
            "exitCode": st.integers(0, 255),
            "start": _stamps,
            "end": _stamps,
        },
    ).map(lambda entry: {**entry, "jobName": f"diabetes-{entry['number']}"}),
    max_size=4,
    unique_by=lambda entry: entry["number"],
)
_progress = st.builds(
    TrainerStatus, sequence=st.integers(0, 9), progress_percentage=st.integers(0, 100), last_updated_time=_stamps
)
_phases = st.sampled_from(
    ["Pending", "Queued", "Starting", "Running", "Retrying", "Suspended", "Succeeded", "Failed", "Cancelled", None]
)
_conditions = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["Ready", "Reconciling", "DeviceFallback"]),
            "status": st.sampled_from(["True", "False"]),
            "reason": st.sampled_from(["Suspending", "Other"]),
            "lastTransitionTime": _stamps,
        }
    ),
    unique_by=lambda condition: condition["type"],
)
_accelerators = st.builds(
    dict,
    resource=st.sampled_from(["nvidia.com/gpu", "memory"]),
    fallback=st.sampled_from(["None", "CPU"]),
    fallbackAfterSeconds=st.integers(0, 9000),
)
_specs = st.fixed_dictionaries(
    {},
    optional={
        "cancel": st.booleans(),
        "suspend": st.booleans(),
        "framework": st.sampled_from(["LightGBM", "Nonsense"]),
        "storage": st.sampled_from([None, {"uri": "pvc://c/p"}, {"uri": "gs://x"}]),
        "resources": st.sampled_from([{"limits": {"memory": m}} for m in ("1Gi", "1e3", "1e99999")]),
        "activeDeadlineSeconds": _limits,
        "pendingDeadlineSeconds": _limits,
        "ttlSecondsAfterFinished": _limits,
        "accelerator": st.none() | _accelerators,
        "retry": st.builds(dict, maxAttempts=st.integers(1, 10), memoryGrowth=st.floats(1, 4)),
    },
).map(lambda changes: {**SPEC, **changes})


@st.composite
def states(draw: st.DrawFn) -> TrainingState:
    status: dict[str, Any] = {"observedGeneration": draw(st.integers(-1, 3))}
    if draw(st.booleans()):
        status |= {"evictions": draw(st.integers(0, 3)), "interruptedTime": draw(_stamps)}
    if phase := draw(_phases):
        status["phase"] = phase
    if attempts := draw(_attempts):
        status["attempts"] = attempts
    if conditions := draw(_conditions):
        status["conditions"] = conditions
    children = [replace(view, name=f"{view.name}-cpu") if draw(st.booleans()) else view for view in draw(_children)]
    names = {f"diabetes-{n}{suffix}" for n in range(1, 6) for suffix in ("", "-cpu")}
    versions = st.dictionaries(
        st.sampled_from(["diabetes-v1", "diabetes-v3"]),
        st.none() | st.just(VERSION) | st.just(version_view(job_uid="other")),
    )
    return observed(
        job_view(status, spec=draw(_specs), deleting=draw(st.booleans()), generation=draw(st.integers(1, 3))),
        *children,
        after=draw(st.floats(-100, 10_000)),
        reported=draw(st.none() | _progress),
        pods={name: tuple(draw(st.lists(_pods, max_size=4))) for name in draw(st.sets(st.sampled_from(sorted(names))))},
        missing=frozenset(draw(st.sets(st.sampled_from(sorted(names))))),
        versions=draw(versions),
        refused=draw(st.none() | st.builds(Refusal, st.just("no"), permanent=st.booleans())),
        wanted=draw(st.booleans()),
        admission=draw(st.sampled_from([ADMITTED, Waiting(1, "ModelLocked", "m")])),
    )


MOST_STATUSES = 4
"""Resumed, refused, late, failed: at most four statuses follow one another while nothing else changes."""


@settings(max_examples=600, deadline=None)
@given(states())
def test_any_state_has_at_most_one_next_step_and_no_endless_writes(seen: TrainingState) -> None:
    step = plan(seen)
    assert plan(seen) == step
    assert sum((bool(step.needs), bool(step.actions), step.status is not None)) <= 1
    if step.requeue_after is not None:
        assert 0 < step.requeue_after <= 20_000
    if seen.job.finished:
        assert phase_of(step) in (None, seen.job.status.phase)
    for _ in range(MOST_STATUSES):
        if step.status is None:
            return
        assert TrainingJobStatus.model_validate(step.status.wire()) == step.status, "the API server would refuse it"
        seen = replace(seen, job=replace(seen.job, status=step.status))
        step = plan(seen)
    raise AssertionError("it writes one status after another and never comes to rest")
