"""Alerts, runbooks and dashboards: complete, consistent with each other and the docs, with existing metrics only."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from cluster import toolchain
from tests.unit.monitoring.files import ROOT, RULES, RUNBOOKS, Query, alerts, dashboards, metrics_of, queries

SCENARIOS = Path(__file__).with_name("alerts_test.yaml")
KINDS_OF_PANEL = {"timeseries", "stat", "table"}
PROCESS_METRICS = {"process_resident_memory_bytes", "process_cpu_seconds_total"}
"""Metrics that the client library adds to every process."""


@pytest.fixture(scope="module")
def promtool() -> Path:
    return toolchain.ensure("promtool")


def run(promtool: Path, *arguments: str | Path) -> None:
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(1800)  # promtool may have to be built first
def test_promtool_accepts_the_rules(promtool: Path) -> None:
    run(promtool, "check", "rules", "--lint=all", "--lint-fatal", RULES)


@pytest.mark.timeout(1800)
def test_each_alert_fires_when_it_should_and_not_before(promtool: Path, tmp_path: Path) -> None:
    text = SCENARIOS.read_text(encoding="utf-8")
    checks = [each for scenario in yaml.safe_load(text)["tests"] for each in scenario["alert_rule_test"]]
    does_fire = {each["alertname"] for each in checks if each.get("exp_alerts")}
    is_silent = {each["alertname"] for each in checks if not each.get("exp_alerts")}
    assert does_fire == is_silent == set(alerts())
    file = tmp_path / "alerts_test.yaml"
    file.write_text(text.replace("[RULES]", f"[{RULES}]"))
    run(promtool, "test", "rules", file)


def test_each_alert_has_annotations_and_a_runbook() -> None:
    for name, rule in alerts().items():
        assert name.startswith("Trainyard")
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert set(rule["annotations"]) == {"summary", "description"}
        page = (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
        assert page.startswith(f"# {name}\n")
        assert re.findall(r"^## (.*)$", page, re.MULTILINE) == ["What it means", "How to look", "What to do"]
        how_to_look, what_to_do = page.split("## How to look")[1].split("## What to do")
        assert re.search(r"^kubectl ", how_to_look, re.MULTILINE), f"{name} does not say how to look"
        assert what_to_do.count("\n|") >= 4, f"{name} does not say what to do"
    pages = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == set(alerts())


def test_the_docs_list_each_alert_and_each_dashboard() -> None:
    text = (ROOT / "docs/monitoring.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| \[`(Trainyard\w+)`\]\(runbooks/\1\.md\) \| (\w+) \|", text, re.MULTILINE))
    assert rows == {name: rule["labels"]["severity"] for name, rule in alerts().items()}
    documented = re.findall(r"^\| (trainyard / \w+) \|", text, re.MULTILINE)
    assert sorted(documented) == sorted(each["title"] for each in dashboards().values())


def test_links_of_the_runbooks_have_a_target() -> None:
    for page in RUNBOOKS.glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+\.md)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).is_file(), f"{page.name}: {target}"


@pytest.mark.parametrize("name", list(dashboards()))
def test_a_dashboard_is_valid_for_grafana(name: str) -> None:
    dashboard = dashboards()[name]
    assert dashboard["uid"] == name
    assert dashboard["tags"] == ["trainyard"]
    assert "id" not in dashboard, "Grafana assigns the id"
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel["type"] in KINDS_OF_PANEL
        assert panel["description"].endswith(".")
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
        position = panel["gridPos"]
        cells = {(position["x"] + x, position["y"] + y) for x in range(position["w"]) for y in range(position["h"])}
        assert not cells & taken, f"{panel['title']} lies over another panel"
        assert max(x for x, _ in cells) < 24
        taken |= cells
    names = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = {found for query in queries() if query.dashboard == name for found in re.findall(r"\$(\w+)", query.expr)}
    assert used <= names | {"__rate_interval"}
    assert names - {"datasource"} <= used


def known_metrics() -> set[str]:
    """Return the metrics that the docs name. Other tests compare the docs with the code."""
    text = "".join((ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("monitoring.md", "server.md"))
    return set(re.findall(r"^\| `(trainyard_\w+)`", text, re.MULTILINE)) | PROCESS_METRICS


@pytest.mark.parametrize(
    "query", [*queries(), *(Query("", name, rule["expr"]) for name, rule in alerts().items())], ids=str
)
def test_a_query_uses_existing_metrics(query: Query) -> None:
    used = metrics_of(query.expr)
    assert used
    assert {name.removesuffix("_bucket") for name in used} <= known_metrics()
