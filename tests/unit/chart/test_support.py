"""The supported Kubernetes releases: chart, README and test matrix agree."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

import matrix
from cluster import releases, toolchain
from cluster.model import ClusterError
from cluster.releases import RELEASES, Release

ROOT = Path(__file__).resolve().parents[3]
_EMULATED_MINORS = 3
"""How far back Kubernetes lets an API server emulate."""


def minor_of(version: str) -> int:
    return int(version.removeprefix("v").split(".")[1])


def test_the_readme_lists_every_release_and_how_it_is_tested() -> None:
    section = (ROOT / "README.md").read_text().partition("### Supported Kubernetes")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (1\.\d+) \| (.+) \|$", section, re.MULTILINE)
    assert rows == [(each.minor, each.seen) for each in RELEASES]


def test_the_chart_requires_the_oldest_release() -> None:
    chart = yaml.safe_load((ROOT / "charts/trainyard/Chart.yaml").read_text())
    assert chart["kubeVersion"] == f">={releases.OLDEST.minor}.0-0"


def test_helm_accepts_only_supported_releases() -> None:
    first = minor_of(releases.OLDEST.minor)
    assert render(first).returncode == 0
    assert render(minor_of(releases.NEWEST.minor)).returncode == 0
    refused = render(first - 1)
    assert refused.returncode != 0
    assert "incompatible with Kubernetes" in refused.stderr


def render(minor: int) -> subprocess.CompletedProcess[str]:
    command = (toolchain.ensure("helm"), "template", ROOT / "charts/trainyard", "--kube-version", f"1.{minor}.0")
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_supported_releases_have_no_gap() -> None:
    first = minor_of(releases.OLDEST.minor)
    assert [minor_of(each.minor) for each in RELEASES] == list(range(first, first + len(RELEASES)))


def test_the_oldest_and_the_newest_release_are_not_emulated() -> None:
    assert not releases.OLDEST.emulated
    assert not releases.NEWEST.emulated
    assert releases.NEWEST.server == toolchain.KUBERNETES_VERSION


@pytest.mark.parametrize("each", RELEASES, ids=lambda each: each.minor)
def test_a_server_can_be_built_and_can_emulate_its_release(each: Release) -> None:
    assert each.server in {toolchain.KUBERNETES_VERSION, *toolchain.OLDER_SERVERS}
    assert 0 <= minor_of(each.server) - minor_of(each.minor) <= _EMULATED_MINORS
    flags = each.options().flags
    assert flags["kube-apiserver"] == flags["kube-controller-manager"]
    assert flags["kube-apiserver"] == ((f"--emulated-version={each.minor}",) if each.emulated else ())


def test_every_older_server_is_used() -> None:
    assert set(toolchain.OLDER_SERVERS) <= {each.server for each in RELEASES}


def test_an_unknown_release_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ClusterError, match=r"Kubernetes 1\.2 .*\(1\.31, .*1\.36\)"):
        releases.release("1.2")
    assert matrix.main(["1.2"]) == 1
    assert "Kubernetes 1.2 " in capsys.readouterr().err


def test_the_matrix_runs_tests_that_exist() -> None:
    assert all((ROOT / "tests/integration" / name).exists() for name in matrix.TESTS)
