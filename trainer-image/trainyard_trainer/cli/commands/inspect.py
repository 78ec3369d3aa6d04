"""``inspect``: show a version, and check that its files are those that were registered."""

from pathlib import Path
from typing import Any

from trainyard_trainer.artifacts.manifest import FileEntry, Measurements, canonical_json, file_entry
from trainyard_trainer.cli.commands.columns import aligned, size_text
from trainyard_trainer.cli.commands.report import metrics_table
from trainyard_trainer.cli.commands.versions import Found, find

_DIGEST = 12


def inspect(folder: Path, model: str | None, version: int | None) -> tuple[str, bool]:
    """Return the manifest as text for people, and whether the digest of every file is correct. Raises TrainerError."""
    found = find(folder, model, version)
    checks = [(entry, _verdict(found.folder, entry)) for entry in found.manifest.files]
    files = aligned(
        [(entry.path, size_text(entry.size), entry.sha256[:_DIGEST], verdict) for entry, verdict in checks], "  "
    )
    parts = [
        f"{found.title}\n",
        aligned(_facts(found), "  "),
        _section("metrics", metrics_table(found.manifest)),
        _section("parameters", aligned(_texts(found.manifest.parameters), "  ")),
        _section("libraries", aligned(_texts(found.manifest.libraries), "  ")),
        _section("warnings", "".join(f"  {text}\n" for text in found.manifest.warnings)),
        _section("files", files),
    ]
    return "".join(parts), all(verdict == "ok" for _, verdict in checks)


def _facts(found: Found) -> list[tuple[str, str]]:
    manifest = found.manifest
    data, job, series, measured = manifest.data, manifest.job, manifest.series, manifest.measurements
    facts = {
        "job": f"{manifest.namespace}/{job.name}, attempt {job.attempt}, uid {job.uid}",
        "created": f"{manifest.created_at} on {manifest.device}" + (f" by {manifest.image}" if manifest.image else ""),
        "framework": f"{manifest.framework}, {manifest.task}; formats {', '.join(manifest.formats)}",
        "data": f"{data.uri}: {data.rows} rows, {size_text(data.size_bytes)}, {data.digest}",
        "holdout": data.holdout_digest,
        "positive": manifest.positive_class,
        "baseline": manifest.baseline,
        "series": series
        and f"{series.trained} of {series.total} trained, {series.fallback} with a fallback, {series.failed} failed",
        "cost": measured and _cost(measured),
        "golden": f"{len(manifest.golden.inputs.rows)} rows within {manifest.golden.tolerance:g}"
        if manifest.golden.inputs.rows
        else None,
        "manifest": f"sha256:{found.sha256}",
        "log": manifest.log,
        "folder": str(found.folder.resolve()),
    }
    return [(name, text) for name, text in facts.items() if text]


def _cost(measured: Measurements) -> str:
    """Return the cost of predictions, as measured on the machine that trained the model."""
    parts = [size_text(measured.size_bytes)]
    if measured.memory_bytes is not None:
        parts.append(f"{size_text(measured.memory_bytes)} of memory")
    if measured.latency is not None:
        parts.append(f"one row in {measured.latency.p50_ms:.3g} ms (p95 {measured.latency.p95_ms:.3g} ms)")
    return ", ".join(parts)


def _section(title: str, text: str) -> str:
    return f"{title}\n{text}" if text else ""


def _texts(values: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (name, value if isinstance(value, str) else canonical_json(value).decode())
        for name, value in sorted(values.items())
    ]


def _verdict(folder: Path, entry: FileEntry) -> str:
    if not (folder / entry.path).is_file():
        return "MISSING"
    return "ok" if file_entry(folder, entry.path) == entry else "CHANGED"
