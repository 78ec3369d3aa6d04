"""Monitors, alerts and dashboards of the chart: disabled by default, and equal to the files if enabled."""

import json
from pathlib import Path

import pytest

from tests.unit.chart.rendered import Json, of_kind, render
from tests.unit.monitoring.files import alerts, dashboards

PROMETHEUS_OPERATOR_KINDS = ("ServiceMonitor", "PodMonitor", "PrometheusRule")
"""Kinds that a cluster without the Prometheus Operator does not have."""


def named(objects: list[Json], kind: str) -> dict[str, Json]:
    return {each["metadata"]["name"]: each for each in of_kind(objects, kind)}


def test_monitoring_objects_are_disabled_by_default(helm: Path) -> None:
    objects = render(helm)
    assert [kind for kind in PROMETHEUS_OPERATOR_KINDS if of_kind(objects, kind)] == []
    assert list(named(objects, "ConfigMap")) == ["trainyard"]


def test_dashboards_equal_their_files(helm: Path) -> None:
    objects = render(helm, "dashboards.enabled=true", 'dashboards.annotations={"grafana_folder": "trainyard"}')
    found = named(objects, "ConfigMap")
    assert set(found) == {"trainyard", *(f"{name}-dashboard" for name in dashboards())}
    for name, dashboard in dashboards().items():
        config = found[f"{name}-dashboard"]
        assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert config["metadata"]["annotations"] == {"grafana_folder": "trainyard"}
        assert config["metadata"]["namespace"] == "ops"
        [(file, text)] = config["data"].items()
        assert file == f"{name}.json"
        assert json.loads(text) == dashboard
        assert len(text) < 500_000, "a ConfigMap is limited to 1 MiB"


def test_alerts_equal_their_file(helm: Path) -> None:
    [rule] = of_kind(
        render(helm, "prometheusRule.enabled=true", 'prometheusRule.labels={"release": "p"}'), "PrometheusRule"
    )
    assert rule["metadata"]["labels"]["release"] == "p"
    found = {each["alert"]: each for group in rule["spec"]["groups"] for each in group["rules"]}
    assert found == alerts()


@pytest.mark.parametrize("url", ["https://wiki.example/runbooks", "https://wiki.example/runbooks/"])
def test_alerts_link_their_runbook(helm: Path, url: str) -> None:
    [rule] = of_kind(
        render(helm, "prometheusRule.enabled=true", f'prometheusRule.runbookUrl="{url}"'), "PrometheusRule"
    )
    for group in rule["spec"]["groups"]:
        for each in group["rules"]:
            annotations = {**each["annotations"]}
            assert annotations.pop("runbook_url") == f"https://wiki.example/runbooks/{each['alert']}.md"
            assert annotations == alerts()[each["alert"]]["annotations"]


def test_monitors_keep_the_labels_of_the_objects(helm: Path) -> None:
    [operator] = of_kind(render(helm, "serviceMonitor.enabled=true"), "ServiceMonitor")
    [endpoint] = operator["spec"]["endpoints"]
    assert endpoint == {"port": "metrics", "interval": "30s", "honorLabels": True}


@pytest.mark.parametrize(
    ("values", "where"),
    [((), {"any": True}), (('watchNamespaces=["a", "b"]',), {"matchNames": ["a", "b"]})],
)
def test_servers_are_monitored_in_the_watched_namespaces(helm: Path, values: tuple[str, ...], where: Json) -> None:
    objects = render(helm, "podMonitor.enabled=true", 'podMonitor.labels={"release": "p"}', *values)
    [monitor] = of_kind(objects, "PodMonitor")
    assert monitor["spec"]["namespaceSelector"] == where
    assert monitor["spec"]["selector"] == {
        "matchExpressions": [{"key": "trainyard.dev/modeldeployment", "operator": "Exists"}]
    }
    assert monitor["spec"]["podMetricsEndpoints"] == [{"port": "http", "interval": "30s"}]
    assert monitor["metadata"]["labels"]["release"] == "p"
