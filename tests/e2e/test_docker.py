"""Docker builds the images. kind runs as far as a machine without privileged containers allows.

`make test-docker` builds all images. `make test` builds only the smallest: a new daemon downloads gigabytes for the
others.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import lifecycle, state, toolchain
from cluster.kind_backend import NODE_IMAGE_VARIABLE, KindBackend
from cluster.model import Cluster, ClusterError
from demo.images import ROOT
from tests.e2e.docker_daemon import BASE, Docker, docker_daemon, obstacle
from trainyard_api.exit_codes import ExitCode

ALL_VARIABLE = "TRAINYARD_TEST_DOCKER"
_CONFINED = ("run", "--rm", "--network=none", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL")
_NOT_A_NODE = "localhost/not-a-node:1"

SMALLEST = "operator"
TARGETS = {
    SMALLEST: "import kopf, trainyard_operator.shell.main",
    "trainer": "import lightgbm, prophet",
    "server": "import uvicorn, lightgbm, prophet",
    "trainer-torch": "import torch; torch.nn.Linear(2, 1)",
}
"""What the image of each target must be able to load."""


@pytest.fixture(scope="module")
def docker() -> Iterator[Docker]:
    if why := obstacle():
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    with docker_daemon() as docker:
        yield docker


@pytest.mark.parametrize("target", TARGETS if os.environ.get(ALL_VARIABLE) == "all" else [SMALLEST])
def test_a_target_is_built_and_runs(docker: Docker, target: str) -> None:
    file = "Dockerfile.operator" if target == SMALLEST else "Dockerfile.trainer"
    arguments = (f"--build-arg=BASE_IMAGE={BASE}", "--build-arg=TORCH_DEVICES=cpu")
    docker.build(ROOT, target, f"--file={file}", f"--target={target}", *arguments)
    docker(*_CONFINED, "--entrypoint=python", target, "-c", TARGETS[target])
    if target == SMALLEST:
        with pytest.raises(ClusterError, match=f"status {ExitCode.BAD_CONFIG:d}: trainyard-operator: no credentials"):
            docker(*_CONFINED, target)
        return
    program = "trainyard-server" if target == "server" else "trainyard-trainer"
    assert docker(*_CONFINED, target, "--version").startswith(f"{program} ")


def test_the_trainer_is_the_default_target() -> None:
    last = [line for line in (ROOT / "Dockerfile.trainer").read_text().splitlines() if line.startswith("FROM ")][-1]
    assert last.endswith(" AS trainer")


@pytest.fixture
def kind_name(docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Let the kind backend use the daemon, with another image instead of kind's node image. Yield a cluster name."""
    kind = toolchain.ensure("kind")
    (tmp_path / "Dockerfile").write_text(f'FROM {BASE}\nCMD ["python3", "-c", "pass"]\n')
    docker.build(tmp_path, _NOT_A_NODE)
    for name, value in docker.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{kind.parent}{os.pathsep}{docker.environment['PATH']}")
    monkeypatch.setenv(NODE_IMAGE_VARIABLE, _NOT_A_NODE)
    name = f"e2e-kind-{os.getpid()}"
    yield name
    lifecycle.down(name, print)


def test_kind_accepts_our_commands_and_leaves_nothing(docker: Docker, kind_name: str) -> None:
    """The real kind finds daemon and image, and asks docker for a privileged container.

    Docker refuses this here. Where Docker allows it, the container does not write the log line that kind waits for.
    """
    assert KindBackend().obstacle() is None
    last_step = (
        rf"Preparing nodes(?s:.)*(docker run --name trainyard-{kind_name}-control-plane .*--privileged|log line)"
    )
    with pytest.raises(ClusterError, match=last_step):
        lifecycle.up(kind_name, "kind", print)
    assert state.load(kind_name) is None
    assert not docker("ps", "--all", "--quiet", "--filter", f"label=io.x-k8s.kind.cluster=trainyard-{kind_name}")


def test_kind_without_a_node_loads_no_image(kind_name: str, tmp_path: Path) -> None:
    cluster = Cluster(kind_name, "kind", tmp_path, tmp_path / "kubeconfig", "")
    (tmp_path / "image.tar").touch()
    with pytest.raises(ClusterError, match="no nodes found for cluster"):
        KindBackend().load_image(cluster, tmp_path / "image.tar", print)
    assert KindBackend().containers(cluster) == {}
