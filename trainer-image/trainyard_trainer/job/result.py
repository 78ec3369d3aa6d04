"""The result in the termination message: built from the manifest, and made to fit what the kubelet keeps."""

from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path
from typing import Final

from trainyard_api.exit_codes import reason_of
from trainyard_api.metric_goals import DATA
from trainyard_api.modelversion import Comparison, Signature
from trainyard_api.training import Gate
from trainyard_api.trainingjob import Artifact
from trainyard_api.wire import RESULT_MAX_BYTES, TrainingResult
from trainyard_trainer.artifacts.manifest import Manifest
from trainyard_trainer.artifacts.runs import FinishedRun
from trainyard_trainer.artifacts.store import Addresses
from trainyard_trainer.artifacts.versions import VersionRecord
from trainyard_trainer.evaluate.names import BASELINE
from trainyard_trainer.progress.redact import redact
from trainyard_trainer.progress.tracker import metric_list, metric_value

_METRICS: Final = 64
_FEW_METRICS: Final = 20
_WARNINGS: Final = 16
_FEW_WARNINGS: Final = 3
_SHORT_WARNING: Final = 160
_MESSAGE: Final = 1024
_SHORT_MESSAGE: Final = 256
_LONGEST_CLASS: Final = 256
"""Of a name that the signature takes."""


def succeeded(
    store: Addresses,
    record: VersionRecord,
    run: FinishedRun,
    gates: Iterable[Gate] | None = None,
    warnings: Iterable[str] = (),
    comparison: Comparison | None = None,
) -> TrainingResult:
    """Tell what was registered. The same run always gives the same result, also when it is only found again.

    ``comparison`` is that with the version that serves now; it is the only part that another attempt may change.

    The metrics that ``gates`` judge are cut last: one that does not arrive is a gate not met. ``warnings`` are those of
    this very attempt, before the ones that stay with the version.
    """
    manifest = run.manifest
    objective = manifest.objective
    value = metric_value(objective.value)
    judged = {gate.metric for gate in gates or ()}
    order = sorted(manifest.metrics, key=_importance(objective.metric, judged))
    metrics = {name: manifest.metrics[name] for name in order}
    return TrainingResult(
        outcome="Succeeded",
        message=f"version {record.version} of {manifest.model}: {objective.metric} {value}",
        model_version=record.registered,
        artifact=Artifact(
            uri=store.address(run.folder), manifest_sha256=run.manifest_sha256, size_bytes=manifest.size_bytes
        ),
        formats=manifest.formats,
        metrics=metric_list(metrics)[:_METRICS],
        objective_metric=objective.metric,
        objective_value=value,
        signature=_signature(manifest),
        holdout_digest=manifest.data.holdout_digest,
        data_digest=manifest.data.digest,
        comparison=_reported_comparison(comparison, objective.metric, judged),
        report=store.address(f"{run.folder}/{manifest.report}"),
        forecast=None if manifest.forecast is None else store.address(f"{run.folder}/{manifest.forecast}"),
        log=None if manifest.log is None else store.address(manifest.log),
        series=manifest.series,
        device=manifest.device,
        warnings=[*warnings, *manifest.warnings][:_WARNINGS] or None,
    )


def _signature(manifest: Manifest) -> Signature | None:
    """Return the columns, and the positive class beside them.

    In the manifest it stands on its own: servers of the first release refuse a signature with a field they do not know.
    """
    positive = manifest.positive_class
    if manifest.signature is None or positive is None or not 0 < len(positive) <= _LONGEST_CLASS:
        return manifest.signature
    return manifest.signature.model_copy(update={"positive_class": positive})


def _reported_comparison(found: Comparison | None, objective: str, judged: Container[str]) -> Comparison | None:
    """Return a comparison with the metrics that decide something; the manifest and the report have them all."""
    if found is None or found.metrics is None:
        return found
    few = [one for one in found.metrics if one.name == objective or one.name in judged]
    return found.model_copy(update={"metrics": few or None})


def _importance(objective: str, judged: Container[str]) -> Callable[[str], tuple[bool, bool, bool, bool, str]]:
    """Order metrics for the cuts: what ranks the model first, what gates judge, the model's own, then the others."""
    return lambda name: (
        name != objective,
        name not in judged,
        name.startswith(BASELINE),
        name.startswith(DATA),
        name,
    )


def failed(code: int, message: str) -> TrainingResult:
    """Tell why there is no model, in one message without secrets."""
    line = " ".join(part.strip() for part in redact(message).splitlines()).strip()
    return TrainingResult(outcome="Failed", reason=reason_of(code), message=_cut(line, _MESSAGE))


def fit(result: TrainingResult) -> str:
    """Return the result as JSON of at most ``RESULT_MAX_BYTES`` bytes.

    What does not fit goes in this order, and stays in the manifest and the report: the signature, warnings beyond three
    and their ends, metrics beyond twenty, all warnings, the addresses of report, forecast and log, the message of the
    comparison, all metrics, the end of the message.
    """
    text = result.to_json()
    for shrink in _shrinks():
        if len(text.encode()) <= RESULT_MAX_BYTES:
            break
        result = shrink(result)
        text = result.to_json()
    return text


def write_result(result: TrainingResult, termination_log: Path) -> None:
    """Leave the result where the kubelet reads it. Raises OSError."""
    termination_log.parent.mkdir(parents=True, exist_ok=True)
    termination_log.write_text(fit(result), encoding="utf-8")


def _shrinks() -> Iterator[Callable[[TrainingResult], TrainingResult]]:
    yield lambda r: r.model_copy(update={"signature": None})
    yield _fewer_warnings
    yield lambda r: r.model_copy(update={"metrics": (r.metrics or [])[:_FEW_METRICS] or None})
    yield lambda r: r.model_copy(update={"warnings": None})
    yield lambda r: r.model_copy(update={"report": None, "forecast": None, "log": None})
    yield _shorter_comparison
    yield lambda r: r.model_copy(update={"metrics": None})
    yield lambda r: r.model_copy(update={"message": _cut(r.message or "", _SHORT_MESSAGE)})


def _shorter_comparison(result: TrainingResult) -> TrainingResult:
    found = result.comparison
    if found is None:
        return result
    short = found.model_copy(update={"message": _cut(found.message, _SHORT_MESSAGE)})
    return result.model_copy(update={"comparison": short})


def _fewer_warnings(result: TrainingResult) -> TrainingResult:
    warnings = result.warnings or []
    kept = [_cut(warning, _SHORT_WARNING) for warning in warnings[:_FEW_WARNINGS]]
    if len(warnings) > len(kept):
        kept.append(f"and {len(warnings) - len(kept)} more: see the report")
    return result.model_copy(update={"warnings": kept or None})


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
