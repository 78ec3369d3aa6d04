"""The kinds kind and process: what they need on the machine, and their commands."""

import os
import re
import stat
from pathlib import Path

import pytest

from cluster import lifecycle, releases, state
from cluster.kind_backend import (
    NODE_IMAGE_VARIABLE,
    KindBackend,
    forward_command,
    kind_command,
    node_image,
)
from cluster.model import Cluster
from cluster.process_backend import ProcessBackend, checkout_programs

KIND, CONFIG = Path("/bin/kind"), Path("/c/kubeconfig")


def docker_that(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_kind_without_docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert KindBackend().obstacle() == "there is no docker command"


def test_kind_without_a_daemon_reports_the_error_of_docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    docker_that(tmp_path, "echo 'Cannot connect to the Docker daemon.' >&2; exit 1", monkeypatch)
    said = str(KindBackend().obstacle())
    assert said.startswith("the Docker daemon does not answer")
    assert said.endswith("Cannot connect to the Docker daemon.")


def test_kind_with_a_daemon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "kind").touch(mode=0o755)
    docker_that(tmp_path, "exit 0", monkeypatch)
    assert KindBackend().obstacle() is None


@pytest.mark.parametrize(
    ("listed", "runs"),
    [("echo 'x-control-plane Up 3 minutes'", True), ("echo 'x-control-plane Exited (137)'", False), ("true", False)],
)
def test_kind_runs_while_its_containers_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, listed: str, runs: bool
) -> None:
    docker_that(tmp_path, listed, monkeypatch)
    monkeypatch.setenv("TRAINYARD_CLUSTERS", str(tmp_path))
    cluster = Cluster("x", "kind", tmp_path / "x", CONFIG, "https://127.0.0.1:1")
    cluster.folder.mkdir()
    assert not lifecycle.is_running(cluster), "its start has not come to its end"
    state.mark_ready(cluster.name)
    assert lifecycle.is_running(cluster) is runs


def test_commands_use_only_names_with_our_prefix() -> None:
    expected = ["/bin/kind", "load", "image-archive", "/i.tar", "--name", "trainyard-x"]
    assert kind_command(KIND, "x", "load", "image-archive", Path("/i.tar")) == expected
    forward = forward_command(Path("/bin/kubectl"), CONFIG, "ns/svc", 5000, 80)
    assert forward[2:] == ["--namespace=ns", "port-forward", "--address=127.0.0.1", "service/svc", "5000:80"]


def test_the_node_image_is_of_a_supported_release_and_can_come_from_a_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default, kind uses the newest Kubernetes that it knows. The tests may not support it."""
    monkeypatch.delenv(NODE_IMAGE_VARIABLE, raising=False)
    named = re.fullmatch(r"kindest/node:v(1\.\d+)\.\d+@sha256:[0-9a-f]{64}", node_image())
    assert named
    assert named[1] == releases.NEWEST.minor
    monkeypatch.setenv(NODE_IMAGE_VARIABLE, "mirror.example/node:v1")
    assert node_image() == "mirror.example/node:v1"


def test_process_node_needs_programs_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "Go" in str(ProcessBackend().obstacle())


def test_programs_are_those_of_this_environment() -> None:
    programs = checkout_programs()
    assert {"trainyard-operator", "trainyard-trainer"} <= set(programs)
    assert all(Path(each.command[0]).exists() for each in programs.values())


def test_servers_listen_only_on_the_address_of_their_pod() -> None:
    environments = [each.env for name, each in checkout_programs().items() if "server" in name]
    assert [env["TRAINYARD_SERVER_HOST"] for env in environments] == ["$(POD_IP)"]
