"""The command ``prune``: what it refuses before it reads the storage."""

import json
from pathlib import Path

import pytest

from tests.unit.trainer.artifacts.runs import KEYS, write_output
from tests.unit.trainer.cli.upkeep.objects import train, version
from trainyard_trainer.artifacts.folder import FolderStore
from trainyard_trainer.cli.main import main
from trainyard_trainer.cli.upkeep.cluster import ACCOUNT_DIR_ENV, HOST_ENV

ITEMS = "kind: List\nitems:\n- kind: TrainingJob\n  metadata: {name: a, namespace: shop, uid: u}\n"


@pytest.fixture
def in_use(tmp_path: Path) -> Path:
    file = tmp_path / "objects.yaml"
    file.write_text(ITEMS)
    return file


def call(*arguments: object) -> int:
    return main(["prune", *map(str, arguments)])


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (("--grace-days", "-1"), 64, "--grace-days -1.0 is not a number of days"),
        (("--grace-days", "nan"), 64, "--grace-days nan is not a number of days"),
        ((), 66, "contains no model; give the storage.uri of the jobs"),
        (("--model", "nothing"), 66, "contains no model"),
    ],
)
def test_refusals(
    tmp_path: Path, in_use: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], code: int, message: str
) -> None:
    assert call(tmp_path, "--in-use", in_use, "--namespace", "shop", *more) == code
    shown = capsys.readouterr()
    assert (shown.out, message in shown.err) == ("", True)


def test_a_file_needs_a_namespace(tmp_path: Path, in_use: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(tmp_path, "--in-use", in_use) == 64
    assert "--in-use needs --namespace" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("{", 65, "is neither YAML nor JSON"),
        ("a: [", 65, "is neither YAML nor JSON"),
        ('{"kind": "Pod"}', 65, "the objects in use are unknown"),
        ("just text", 65, "not a Kubernetes object"),
        ("items: [1]", 65, "not a Kubernetes object"),
        ("items: 7", 65, "not a Kubernetes object"),
        ("", 65, "the objects in use are unknown"),
        ("kind: Pod\nmetadata: {name: a, namespace: shop}\n", 65, "the objects in use are unknown"),
        ("kind: List\nitems:\n- kind: ModelVersion\n  metadata: {name: v, namespace: shop}\n", 65, "which artifact"),
    ],
)
def test_a_file_without_usable_objects_is_refused(
    tmp_path: Path, in_use: Path, capsys: pytest.CaptureFixture[str], text: str, code: int, message: str
) -> None:
    in_use.write_text(text)
    assert call(tmp_path, "--in-use", in_use, "--namespace", "shop", "--delete") == code
    shown = capsys.readouterr()
    assert (shown.out, message in shown.err) == ("", True)


def test_a_missing_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(tmp_path, "--in-use", tmp_path / "none.yaml", "--namespace", "shop") == 64
    assert "none.yaml cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["", "10.96.0.1"])
def test_outside_of_a_pod(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    monkeypatch.setenv(HOST_ENV, host)
    monkeypatch.setenv(ACCOUNT_DIR_ENV, str(tmp_path / "account"))
    assert call(tmp_path) == 64
    assert "the objects in use are unknown: this is not a pod" in capsys.readouterr().err


def test_a_removed_version_is_not_the_newest(tmp_path: Path, in_use: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = FolderStore(tmp_path / "out", "file:///out")
    records = [train(store, uid, write_output(tmp_path / "output")) for uid in ("uid-1", "uid-2")]
    in_use.write_text(json.dumps({"items": [version(records[0])]}))
    location = (tmp_path / "out", "--in-use", in_use, "--namespace", KEYS.namespace)
    assert call(*location, "--grace-days", 0, "--delete") == 0
    assert "version 2" in capsys.readouterr().out
    assert main(["report", str(tmp_path / "out")]) == 0
    assert "version 1 " in capsys.readouterr().out
