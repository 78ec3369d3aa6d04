"""What is a TrainingJob's own in a life that all kinds share which run to an end."""

from typing import Final

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
        """Read the spec, ignoring fields of a newer release."""
        return parse_spec(state.job)

    def is_done_already(self, state: TrainingState, spec: TrainingJobSpec) -> Plan | None:
        """End a job whose version is there."""
        return restored.trained_before(state, spec)

    def missing_fact(self, state: TrainingState, spec: TrainingJobSpec) -> Need | None:
        """Ask which version is the champion, where the trainer compares something with it."""
        asks = champion_ref.is_wanted(spec) and state.rivals is None
        return Need(Fact.RIVALS, state.job.model) if asks else None

    def launch(self, state: TrainingState, spec: TrainingJobSpec, attempt: int) -> Launch:
        """Return an attempt with the memory, the time and the device that the attempts before have left it."""
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
            champion=champion_ref.champion_of(state.rivals) if state.rivals is not None else None,
        )

    def start_hint(self, spec: TrainingJobSpec) -> str:
        """Tell of a ConfigMap that has to exist: the kubelet only mounts what is there, and waits without a word."""
        script = spec.script.config_map_ref if spec.script is not None else None
        if script is None:
            return ""
        return f"it starts once key {script.key!r} of ConfigMap {script.name!r} (script.configMapRef) exists"

    def complete(
        self, state: TrainingState, spec: TrainingJobSpec, workload: WorkloadView, pods: tuple[PodView, ...]
    ) -> Plan:
        """Read the result, and make the version of one that trained."""
        return completion.complete(state, spec, workload, pods)

    def follow(self, state: TrainingState) -> Need | News | None:
        """Follow the verdict on the version that was made."""
        found = verdict.follow(state)
        if found is None or isinstance(found, Need):
            return found
        return News({"verdict": found}, verdict.event_of(found))


TRAINING: Final = Training()

_PLANNER: Final = BatchPlanner(TRAINING)


def plan(state: TrainingState) -> Plan:
    """Return the next step for one TrainingJob: total and deterministic, empty at the fixed point."""
    return _PLANNER.plan(state)
