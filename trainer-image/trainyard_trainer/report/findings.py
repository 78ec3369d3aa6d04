"""Findings about the data: all of them in validation.json, and a selection for people."""

import dataclasses
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from trainyard_trainer.data.dataset import Dataset, Finding

_PER_CODE: Final = 20
"""Maximum number of findings per code. The others are only counted."""

_ORDER: Final = {"error": 0, "warning": 1, "info": 2}


@dataclasses.dataclass(frozen=True)
class CodeCount:
    """Number of findings of one kind, and of their rows or values."""

    code: str
    severity: str
    findings: int
    count: int


def by_code(findings: Iterable[Finding]) -> list[CodeCount]:
    """Return one entry per kind of finding, errors first."""
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.code, []).append(finding)
    counts = [
        CodeCount(code, min((one.severity for one in group), key=_ORDER.__getitem__), len(group), _total(group))
        for code, group in groups.items()
    ]
    return sorted(counts, key=lambda one: (_ORDER[one.severity], one.code))


def limited(findings: Iterable[Finding]) -> list[Finding]:
    """Return the first few findings of each kind, and one with the count of the others."""
    kept: list[Finding] = []
    seen: Counter[str] = Counter()
    severities: dict[str, Finding] = {}
    for finding in findings:
        seen[finding.code] += 1
        severities.setdefault(finding.code, finding)
        if seen[finding.code] <= _PER_CODE:
            kept.append(finding)
    for code, count in seen.items():
        if count > _PER_CODE:
            text = f"{count - _PER_CODE} more findings of code {code}: see validation.json"
            kept.append(Finding(code, severities[code].severity, text, count=count - _PER_CODE))
    return kept


def validation_document(dataset: Dataset) -> dict[str, Any]:
    """Return the content of validation.json."""
    failed = [one for one in dataset.findings if one.severity == "error" and one.series is not None]
    return {
        "rows": dataset.rows,
        "seriesTotal": dataset.series_total,
        "seriesLeftOut": {str(one.series): one.code for one in failed},
        "format": list(dataset.origin.notes),
        "codes": [dataclasses.asdict(one) for one in by_code(dataset.findings)],
        "findings": [dataclasses.asdict(finding) for finding in dataset.findings],
    }


def _total(findings: list[Finding]) -> int:
    return sum(finding.count for finding in findings)
