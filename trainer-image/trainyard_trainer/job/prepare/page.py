"""profile.html: a self-contained page about a dataset, also readable on a phone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from trainyard_api.wire import TrainerConfig
from trainyard_trainer.data.dataset import Dataset, Finding
from trainyard_trainer.job.prepare import pictures, statistics
from trainyard_trainer.job.prepare.table import PreparedTable
from trainyard_trainer.progress.redact import redact
from trainyard_trainer.report.findings import by_code, limited
from trainyard_trainer.report.template import render

_FINDINGS: Final = 100


@dataclass(frozen=True)
class ProfileInput:
    """All data that the page shows."""

    config: TrainerConfig
    dataset: Dataset
    table: PreparedTable
    digest: str
    created_at: str
    warnings: Sequence[str]


def render_profile(source: ProfileInput) -> str:
    """Return the page. All text from the user's data is escaped."""
    table, dataset = source.table, source.dataset
    columns = statistics.profile_columns(table)
    findings = all_findings(source)
    shown = limited(findings)
    parts = statistics.split_counts(table)
    return render(
        "profile.html.j2",
        package="trainyard_trainer.job.prepare",
        source=source,
        data_uri=redact(dataset.origin.uri),
        parts=parts,
        columns=columns,
        violins=_violins(table, columns),
        undrawn=max(0, sum(column.is_number for column in columns) - pictures.MAX_VIOLINS),
        classes=statistics.class_counts(table, dataset.classes),
        time=_time(table, columns),
        series=statistics.profile_series(dataset),
        codes=by_code(findings),
        findings=shown[:_FINDINGS],
        findings_left_out=max(0, len(shown) - _FINDINGS),
    )


def all_findings(source: ProfileInput) -> list[Finding]:
    """Return the findings about the data, and those of the joins of its tables."""
    return [*source.dataset.findings, *source.table.findings]


def _violins(table: PreparedTable, columns: Sequence[statistics.ColumnProfile]) -> dict[str, str]:
    """Return the plots of the numeric columns by column name, the target first."""
    numbers = sorted((column for column in columns if column.is_number), key=lambda column: column.role != "target")
    drawn = {column.name: pictures.violin(table.frame[column.name]) for column in numbers[: pictures.MAX_VIOLINS]}
    return {name: picture for name, picture in drawn.items() if picture is not None}


def _time(
    table: PreparedTable, columns: Sequence[statistics.ColumnProfile]
) -> tuple[statistics.ColumnProfile, str | None] | None:
    """Return the time column, if it could be parsed, and the plot of its rows over time."""
    found = next((column for column in columns if column.role == "time" and column.kind == "time"), None)
    return None if found is None else (found, pictures.over_time(table.frame[found.name]))
