"""The command ``import``: a folder, a claim, its output and its exit codes."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.trainer.artifacts.runs import KEYS, write_output
from tests.unit.trainer.cli.upkeep.objects import REQUEST, train
from trainyard_api import meta
from trainyard_api.training import Storage
from trainyard_trainer.artifacts.folder import FolderStore
from trainyard_trainer.cli.main import main


@pytest.fixture
def claims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of claims with two versions in ``pvc://models/all``."""
    monkeypatch.setenv(meta.CLAIMS_DIR_ENV, str(tmp_path / "claims"))
    root = tmp_path / "claims/models/all"
    request = REQUEST.model_copy(update={"storage": Storage(uri="pvc://models/all")})
    for uid in ("uid-1", "uid-2"):
        train(FolderStore(root, "pvc://models/all"), uid, write_output(tmp_path / "output"), request=request)
    return root


def objects(text: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(text))


def test_a_claim(claims: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "pvc://models/all"]) == 0
    shown = capsys.readouterr()
    first, second = objects(shown.out)
    assert [each["metadata"]["name"] for each in (first, second)] == ["demand-v1", "demand-v2"]
    assert first["spec"]["storage"]["uri"] == "pvc://models/all"
    assert first["spec"]["gates"] == [{"metric": "mae", "op": "<", "value": 3}]
    assert shown.err == "2 versions of 1 models\n"


def test_a_copy_on_this_machine(claims: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["import", str(claims)]) == 64
    assert "a cluster cannot reach file://" in capsys.readouterr().err
    file = tmp_path / "versions.yaml"
    assert main(["import", str(claims), "--as", "s3://new/place", "--secret", "keys", "--output", str(file)]) == 0
    assert capsys.readouterr().out == ""
    first, _ = objects(file.read_text())
    assert first["spec"]["artifact"]["uri"] == f"s3://new/place/{KEYS.run('uid-1', '1')}"
    assert first["spec"]["storage"] == {
        "uri": "s3://new/place",
        "secretRef": {"name": "keys"},
        "checksumMode": "WhenRequired",
    }


def test_the_list_is_a_table(claims: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (claims / KEYS.run("uid-2", "1") / "model.txt").unlink()
    assert main(["import", str(claims), "--list"]) == 65
    shown = capsys.readouterr()
    head, *rows = [line.split() for line in shown.out.splitlines()]
    assert head == ["NAMESPACE", "MODEL", "VERSION", "STATE", "OBJECTIVE", "JOB", "LABEL"]
    assert [row[:4] for row in rows] == [["shop", "demand", "1", "Good"], ["shop", "demand", "2", "Broken"]]
    assert "shop/demand version 2: " in shown.err
    assert "1 versions of 1 models; 1 could not be rebuilt" in shown.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--model", "other"), 66, "contains no model other; give the storage.uri"),
        (("--namespace", "market"), 66, "contains no model of namespace market"),
        (("--output", "/not/there.yaml"), 64, "--output /not/there.yaml cannot be written"),
        (("--as", "https://host/models"), 64, "a cluster cannot reach https://host/models"),
    ],
)
def test_refusals(
    claims: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, message: str
) -> None:
    assert main(["import", "pvc://models/all", *arguments]) == code
    shown = capsys.readouterr()
    assert (shown.out, message in shown.err) == ("", True)


@pytest.mark.parametrize(
    ("uri", "code", "message"),
    [
        ("pvc://other/all", 66, "the claim is not mounted"),
        ("https://host/models", 64, "is not the address of a storage"),
        ("/not/there", 66, "is not a folder"),
    ],
)
def test_invalid_storages_are_refused(
    claims: Path, capsys: pytest.CaptureFixture[str], uri: str, code: int, message: str
) -> None:
    assert main(["import", uri, "--list"]) == code
    assert message in capsys.readouterr().err
