"""Repeat the comparison if another version serves when a training ends. The next attempt does not train.

The trainer of that attempt finds the version that the job has registered. It evaluates both models on the held-out rows
and reports a new comparison. The ModelVersion is created after that and is judged by the new comparison. While another
version of the model is being judged, the next champion is not known. In that case, the job waits.
"""

from typing import Final

from trainyard_api.batch import Attempt
from trainyard_api.training import Retry
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_api.wire import ChampionRef, TrainingResult
from trainyard_operator.core.batch import attempts, deadlines
from trainyard_operator.core.batch.outcome import CHAMPION_CHANGED
from trainyard_operator.core.batch.transition import Transition, report
from trainyard_operator.core.facts import Fact, Need
from trainyard_operator.core.objects import WorkloadView
from trainyard_operator.core.plan import EventNote, Plan
from trainyard_operator.core.times import to_rfc3339
from trainyard_operator.core.training import champion_ref
from trainyard_operator.core.training.state import TrainingState

MOST: Final = 3
"""How many times one job repeats the comparison. After that, the gates judge the result and fail closed."""

LEAST_SECONDS: Final = 60
"""Minimum running time that must be left. With less, another attempt could fail a training that succeeded."""

_CHECK_SECONDS: Final = 1.0
_WAIT_SECONDS: Final = 60.0
"""How long a job waits for the verdict on another version.

A verdict takes a moment, and the pod must not be kept longer.
"""


def compare_again(
    state: TrainingState, spec: TrainingJobSpec, workload: WorkloadView, result: TrainingResult
) -> Plan | None:
    """Return the plan that ends this attempt for a new comparison, or that waits for another version's verdict.

    Return ``None`` if the comparison is still valid or cannot be repeated.
    """
    if result.comparison is None or not any(gate.compare_to is not None for gate in spec.gates or ()):
        return None
    if state.model_objects is None:
        return Plan(needs=(Need(Fact.MODEL_OBJECTS, state.job.model),))
    waited = (state.now - (workload.end or workload.created)).total_seconds()
    if waited < _WAIT_SECONDS and any(
        other.is_pending and not other.deleting for other in state.model_objects.versions
    ):
        return Plan(requeue_after=_CHECK_SECONDS)
    champion = champion_ref.champion_of(state.model_objects)
    if champion is None or champion.artifact.manifest_sha256 == result.comparison.champion_digest:
        return None
    ended = Attempt(
        number=workload.attempt,
        job_name=workload.name,
        reason=CHAMPION_CHANGED,
        exit_code=0,
        device=result.device,
        start=to_rfc3339(workload.start or workload.created),
        end=to_rfc3339(workload.end or state.now),
    )
    changes = attempts.with_end(state, ended)
    if not _may(state, spec, changes["active_seconds"]):
        return None
    message = _message(result, champion)
    event = EventNote("Normal", CHAMPION_CHANGED, message, f"champion-changed-{workload.attempt}")
    return report(state, Transition("Retrying", CHAMPION_CHANGED, message, changes), events=(event,))


def _may(state: TrainingState, spec: TrainingJobSpec, spent: int) -> bool:
    status = state.job.status.model_copy(update={"active_seconds": spent})
    left = deadlines.active_left(status, spec)
    done = sum(entry.reason == CHAMPION_CHANGED for entry in status.attempts or ())
    failed = len(attempts.failures(state.job.status)) < (spec.retry or Retry()).max_attempts
    return done < MOST and failed and not (spec.cancel or spec.suspend) and (left is None or left >= LEAST_SECONDS)


def _message(result: TrainingResult, champion: ChampionRef) -> str:
    before = f"version {result.comparison.champion}" if result.comparison is not None else "no version"
    return (
        f"version {champion.version} serves now, but the model was compared with {before}: another attempt repeats the "
        "comparison without training"
    )
