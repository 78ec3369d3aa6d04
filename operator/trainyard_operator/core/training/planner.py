"""The TrainingJob part of the lifecycle that all kinds share that run to completion."""

from typing import Any, Final

from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_operator.core.batch import accelerator, attempts, deadlines
from trainyard_operator.core.batch.kind import News
from trainyard_operator.core.batch.planner import BatchPlanner
from trainyard_operator.core.batch.workload import JOB, Launch, Workload
from trainyard_operator.core.facts import Fact, Need
from trainyard_operator.core.objects import PodView, WorkloadView
from trainyard_operator.core.plan import Plan
from trainyard_operator.core.resolve import parse_spec, refuse_unsupported
from trainyard_operator.core.training import champion_ref, completion, render, restored, verdict
from trainyard_operator.core.training.state import TrainingState


class Training:
    """The kind TrainingJob."""

    workload: Final[Workload] = JOB

    def spec_of(self, state: TrainingState) -> TrainingJobSpec:
        """Return the parsed spec. Fields of a newer release are ignored."""
        return parse_spec(state.job)

    def is_done_already(self, state: TrainingState, spec: TrainingJobSpec) -> Plan | None:
        """End a job whose version exists already."""
        return restored.trained_before(state, spec)

    def check(self, state: TrainingState, spec: TrainingJobSpec) -> None:
        """Render an attempt without its champion."""
        self.launch(state, spec, 1)

    def missing(self, state: TrainingState, spec: TrainingJobSpec) -> Need | None:
        """Request the champion if the trainer compares something with it."""
        asks = champion_ref.is_wanted(spec) and state.model_objects is None
        return Need(Fact.MODEL_OBJECTS, state.job.model) if asks else None

    def launch(self, state: TrainingState, spec: TrainingJobSpec, attempt: int) -> Launch:
        """Return the next attempt, with the memory, time and device that earlier attempts have left."""
        status = state.job.status
        refuse_unsupported(spec)
        return render.launch(
            state.job,
            accelerator.effective(spec, status),
            attempt,
            config=state.config,
            ca=state.ca,
            out_of_memory=attempts.out_of_memory(status),
            limit=deadlines.active_left(status, spec),
            fallback=bool(accelerator.fallback_of(status)),
            champion=champion_ref.champion_of(state.model_objects) if state.model_objects is not None else None,
        )

    def describe(self, workload: WorkloadView) -> dict[str, Any]:  # noqa: ARG002 - the protocol's
        """Return nothing: the status describes the version when the training has ended."""
        return {}

    def start_hint(self, spec: TrainingJobSpec) -> str:
        """Return a hint about a ConfigMap that must exist. The kubelet waits for a missing one without a message."""
        script = spec.script.config_map_ref if spec.script is not None else None
        if script is None:
            return ""
        return f"the pod starts when key {script.key!r} of ConfigMap {script.name!r} (script.configMapRef) exists"

    def complete(
        self, state: TrainingState, spec: TrainingJobSpec, workload: WorkloadView, pods: tuple[PodView, ...]
    ) -> Plan:
        """Read the result, and create the version after a training."""
        return completion.complete(state, spec, workload, pods)

    def follow(self, state: TrainingState) -> Need | News | None:
        """Return a new verdict on the version."""
        found = verdict.follow(state)
        if found is None or isinstance(found, Need):
            return found
        return News({"verdict": found}, verdict.event_of(found))


TRAINING: Final = Training()

_PLANNER: Final = BatchPlanner(TRAINING)


def plan(state: TrainingState) -> Plan:
    """Return the next step for one TrainingJob.

    The function is total and deterministic; the plan is empty at the fixed point.
    """
    return _PLANNER.plan(state)
