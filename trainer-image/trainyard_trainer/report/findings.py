"""What is told of the findings about the data: all of them in validation.json, some of them to people."""

import dataclasses
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from trainyard_trainer.data.dataset import Dataset, Finding

_PER_CODE: Final = 20
"""A list of ten thousand equal lines helps nobody: the rest is counted."""

_ORDER: Final = {"error": 0, "warning": 1, "info": 2}


@dataclasses.dataclass(frozen=True)
class CodeCount:
    """How often a kind of finding was made, and how many rows or values it concerns."""

    code: str
    severity: str
    findings: int
    count: int


def by_code(findings: Iterable[Finding]) -> list[CodeCount]:
    """Return one line per kind of finding, errors first."""
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.code, []).append(finding)
    counts = [
        CodeCount(code, min((one.severity for one in group), key=_ORDER.__getitem__), len(group), _total(group))
        for code, group in groups.items()
    ]
    return sorted(counts, key=lambda one: (_ORDER[one.severity], one.code))


def limited(findings: Iterable[Finding]) -> list[Finding]:
    """Return the first few of each kind, and one that counts the others."""
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
            text = f"{count - _PER_CODE} more findings of the kind {code}: see validation.json"
            kept.append(Finding(code, severities[code].severity, text, count=count - _PER_CODE))
    return kept


def validation_document(dataset: Dataset) -> dict[str, Any]:
    """Return what validation.json holds."""
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
