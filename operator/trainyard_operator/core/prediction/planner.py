"""The PredictionJob part of the lifecycle that all batch kinds share."""

from typing import Any, Final, cast

from pydantic import ValidationError

from trainyard_api import meta
from trainyard_api.base import first_problem
from trainyard_api.predictionjob import PredictionJobSpec, PredictionResult
from trainyard_operator.core.batch import accelerator, attempts, completion, deadlines, outcome
from trainyard_operator.core.batch.kind import News, Unmet
from trainyard_operator.core.batch.planner import BatchPlanner
from trainyard_operator.core.batch.workload import JOB, Launch, Workload
from trainyard_operator.core.facts import Need
from trainyard_operator.core.objects import ModelVersionView, PodView, WorkloadView
from trainyard_operator.core.plan import Plan
from trainyard_operator.core.prediction import render
from trainyard_operator.core.prediction.choice import choose
from trainyard_operator.core.prediction.state import PredictionState
from trainyard_operator.core.resolve import InvalidSpecError


class Prediction:
    """The kind PredictionJob."""

    workload: Final[Workload] = JOB

    def spec_of(self, state: PredictionState) -> PredictionJobSpec:
        """Return the parsed spec. Fields of a newer release are ignored."""
        try:
            return PredictionJobSpec.model_validate(state.job.spec, extra="ignore")
        except ValidationError as error:
            raise InvalidSpecError(first_problem(error, "spec")) from error

    def is_done_already(self, state: PredictionState, spec: PredictionJobSpec) -> Plan | None:  # noqa: ARG002 - the protocol's
        """Return ``None``: the pod finds out whether an earlier attempt has written everything."""
        return None

    def check(self, state: PredictionState, spec: PredictionJobSpec) -> None:
        """Check the output. The version is selected when the attempt starts."""
        render.with_output(spec, state.config)

    def missing(self, state: PredictionState, spec: PredictionJobSpec) -> Need | Unmet | None:
        """Return what the selection of the version lacks."""
        found = choose(state, spec)
        return None if isinstance(found, ModelVersionView) else found

    def launch(self, state: PredictionState, spec: PredictionJobSpec, attempt: int) -> Launch:
        """Return the next attempt, with the memory, time and device that earlier attempts have left."""
        version, status = cast("ModelVersionView", choose(state, spec)), state.job.status  # see missing
        return render.launch(
            state.job,
            accelerator.effective(spec, status),
            attempt,
            version,
            config=state.config,
            ca=state.ca,
            out_of_memory=attempts.out_of_memory(status),
            limit=deadlines.active_left(status, spec),
            fallback=bool(accelerator.fallback_of(status)),
        )

    def describe(self, workload: WorkloadView) -> dict[str, Any]:
        """Return the version that predicts in this workload."""
        version, model = workload.labels.get(meta.VERSION_LABEL, ""), workload.labels.get(meta.MODEL_LABEL)
        return {"version": int(version), "model_name": model} if version.isdecimal() and model else {}

    def start_hint(self, spec: PredictionJobSpec) -> str:  # noqa: ARG002 - the protocol's
        """Return nothing: the kubelet reports what it waits for."""
        return ""

    def complete(
        self, state: PredictionState, spec: PredictionJobSpec, workload: WorkloadView, pods: tuple[PodView, ...]
    ) -> Plan:
        """Read the result, and end the job."""
        result = outcome.success_of(workload, pods)
        if isinstance(result, outcome.Failure):
            return completion.after_failure(state, spec, workload.attempt, workload, result)
        found = result.predictions
        if found is None:
            message = (
                f"the pod made a {result.made}, not predictions: remove spec.image, or set it to the trainer image of "
                "this release"
            )
            return completion.failed(state, workload.attempt, workload, outcome.result_missing(workload, message))
        return completion.succeeded(
            state,
            spec,
            workload,
            result,
            f"wrote {found.rows} rows to {found.output}",
            {**self.describe(workload), **_version_of(found), "result": found},
            stage="predict",
        )

    def follow(self, state: PredictionState) -> Need | News | None:  # noqa: ARG002 - the protocol's
        """Return ``None``: written predictions never change."""
        return None


def _version_of(found: PredictionResult) -> dict[str, Any]:
    """Return the version of the rows. An earlier attempt with another version may have written them."""
    return {} if found.version is None else {"version": found.version}


PREDICTION: Final = Prediction()

_PLANNER: Final = BatchPlanner(PREDICTION)


def plan(state: PredictionState) -> Plan:
    """Return the next step for one PredictionJob.

    The function is total and deterministic; the plan is empty at the fixed point.
    """
    return _PLANNER.plan(state)
