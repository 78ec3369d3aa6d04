"""The rules and dashboards of the chart, parsed for tests."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
MONITORING = ROOT / "charts/trainyard/files/monitoring"
RULES = MONITORING / "rules.yaml"
RUNBOOKS = ROOT / "docs/runbooks"

Json = dict[str, Any]

_METRIC = re.compile(r"\b(?:trainyard|process)_[a-z_]+\b")


@dataclass(frozen=True)
class Query:
    """One expression of a panel, with its dashboard and panel."""

    dashboard: str
    panel: str
    expr: str

    def __str__(self) -> str:
        return f"{self.dashboard}, {self.panel}: {self.expr}"

    def plain(self, window: str) -> str:
        """Return the expression for Prometheus: all namespaces, and a fixed window for the rates."""
        return self.expr.replace("$namespace", ".*").replace("$__rate_interval", window)


def alerts() -> dict[str, Json]:
    """Return the alerts by name."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    rules: list[Json] = [rule for group in groups for rule in group["rules"]]
    found = {str(rule["alert"]): rule for rule in rules}
    assert len(found) == len(rules), "two alerts have the same name"
    return found


def dashboards() -> dict[str, Json]:
    """Return the dashboards by the name of their file."""
    paths = sorted((MONITORING / "dashboards").glob("*.json"))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def queries() -> Iterator[Query]:
    """Yield each expression of each panel."""
    for name, dashboard in dashboards().items():
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                yield Query(name, panel["title"], target["expr"])


def metrics_of(expr: str) -> set[str]:
    """Return the names of the metrics in an expression."""
    return set(_METRIC.findall(expr))
