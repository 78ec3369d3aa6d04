"""The result in the termination message. It is built from the manifest, and shortened to the limit of the kubelet."""

from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

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
"""Maximum length of a class name in the signature."""


def succeeded(
    store: Addresses,
    record: VersionRecord,
    run: FinishedRun,
    gates: Iterable[Gate] | None = None,
    warnings: Iterable[str] = (),
    comparison: Comparison | None = None,
) -> TrainingResult:
    """Return the result of a registered run.

    The same run always has the same result, also if an earlier attempt made it.

    ``comparison`` is that with the version that is served now. Only this part can change in another attempt. The
    metrics of ``gates`` are cut last, because a gate without its metric fails. ``warnings`` are those of this attempt;
    they come before those of the version.
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
    """Return the signature with the positive class.

    In the manifest, the class is a separate field: servers of the first release reject a signature with an unknown
    field.
    """
    positive = manifest.positive_class
    if manifest.signature is None or positive is None or not 0 < len(positive) <= _LONGEST_CLASS:
        return manifest.signature
    return manifest.signature.model_copy(update={"positive_class": positive})


def _reported_comparison(found: Comparison | None, objective: str, judged: Container[str]) -> Comparison | None:
    """Return a comparison with only the metrics that affect decisions. The manifest and the report have all metrics."""
    if found is None or found.metrics is None:
        return found
    few = [one for one in found.metrics if one.name == objective or one.name in judged]
    return found.model_copy(update={"metrics": few or None})


def _importance(objective: str, judged: Container[str]) -> Callable[[str], tuple[bool, bool, bool, bool, str]]:
    """Return a sort key: first the objective, then metrics of gates, other metrics of the model, and those of baselines
    and data.
    """
    return lambda name: (
        name != objective,
        name not in judged,
        name.startswith(BASELINE),
        name.startswith(DATA),
        name,
    )


def failed(code: int, message: str) -> TrainingResult:
    """Return the result of a failed job: one message without secrets."""
    line = " ".join(part.strip() for part in redact(message).splitlines()).strip()
    return TrainingResult(outcome="Failed", reason=reason_of(code), message=_cut(line, _MESSAGE))


def fit(result: TrainingResult) -> str:
    """Return the result as JSON of at most ``RESULT_MAX_BYTES`` bytes.

    If the result is too large, parts are removed or shortened in this order: the signature, long warnings and those
    beyond three, metrics beyond twenty, all warnings, the addresses of report, forecast and log, the message of the
    comparison, all metrics, and the message. The manifest and the report keep them.
    """
    text = result.to_json()
    for shrink in _shrinks():
        if len(text.encode()) <= RESULT_MAX_BYTES:
            break
        result = shrink(result)
        text = result.to_json()
    return text


def write_result(result: TrainingResult, termination_log: Path) -> None:
    """Write the result to the termination log for the kubelet. Raises OSError."""
    termination_log.parent.mkdir(parents=True, exist_ok=True)
    termination_log.write_text(fit(result), encoding="utf-8")


def _shrinks() -> Iterator[Callable[[TrainingResult], TrainingResult]]:
    yield lambda r: r.model_copy(update={"signature": None})
    yield _fewer_warnings
    yield lambda r: r.model_copy(update={"metrics": (r.metrics or [])[:_FEW_METRICS] or None})
    yield _without_warnings
    yield _without_addresses
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
    ours = None if result.predictions is None else result.predictions.warnings
    return _update(result, {"warnings": _few(result.warnings, "the report")}, {"warnings": _few(ours, "the log")})


def _few(warnings: list[str] | None, source: str) -> list[str] | None:
    """Return the first warnings, shortened, and a text that names the source of the others."""
    found = warnings or []
    kept = [_cut(warning, _SHORT_WARNING) for warning in found[:_FEW_WARNINGS]]
    if len(found) > len(kept):
        kept.append(f"and {len(found) - len(kept)} more: see {source}")
    return kept or None


def _without_warnings(result: TrainingResult) -> TrainingResult:
    return _update(result, {"warnings": None}, {"warnings": None})


def _without_addresses(result: TrainingResult) -> TrainingResult:
    return _update(result, {"report": None, "forecast": None, "log": None}, {"log": None})


def _update(result: TrainingResult, of_result: dict[str, Any], of_predictions: dict[str, Any]) -> TrainingResult:
    if result.predictions is not None:
        of_result = {**of_result, "predictions": result.predictions.model_copy(update=of_predictions)}
    return result.model_copy(update=of_result)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
