"""Versions rebuilt from a storage: equal to those of the operator.

An error in one version does not affect the others.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.operator.samples import SPEC, child, job_view
from tests.unit.trainer.artifacts.runs import KEYS, write_output
from tests.unit.trainer.cli.upkeep.objects import REQUEST, STORAGE, train
from trainyard_api.modelversion import Comparison
from trainyard_api.wire import TrainingResult
from trainyard_operator.core.resolve import parse_spec
from trainyard_operator.core.training.render import model_version
from trainyard_trainer.artifacts.folder import FolderStore
from trainyard_trainer.artifacts.layout import MANIFEST, ModelKeys
from trainyard_trainer.artifacts.manifest import canonical_json
from trainyard_trainer.artifacts.runs import begin_run
from trainyard_trainer.artifacts.versions import registered_run, reserve_version
from trainyard_trainer.cli.upkeep.models import models_in
from trainyard_trainer.cli.upkeep.rebuild import RebuildOptions, Rebuilt, left_over, rebuild
from trainyard_trainer.job.result import fit, succeeded

OPTIONS = RebuildOptions(STORAGE)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> FolderStore:
    return FolderStore(root, STORAGE.uri)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return write_output(tmp_path / "output")


def rebuilt(store: FolderStore, options: RebuildOptions = OPTIONS) -> list[Rebuilt]:
    return list(rebuild(store, models_in(store), options))


def test_it_equals_the_version_of_the_operator(store: FolderStore, output: Path) -> None:
    """Call the operator's own code with the result of the trainer.

    The storage does not have the digest of the job's spec. Without it, the version belongs to any job of its name.
    """
    record = train(store, "uid-1", output)
    run = registered_run(store, record)
    text = fit(succeeded(store, record, run, REQUEST.gates, ["a warning of that attempt"], run.manifest.comparison))
    options = {
        "gates": [gate.wire() for gate in REQUEST.gates or ()],
        "objective": {"metric": "mae", "goal": "Minimize"},
    }
    spec = {**SPEC, "modelName": KEYS.model, **options}
    view = job_view(spec=spec, name="job", namespace=KEYS.namespace, uid="uid-1")
    made = model_version(view, parse_spec(view), child(1), TrainingResult.model_validate_json(text), STORAGE)
    del made["spec"]["trainingJob"]["specDigest"]
    (one,) = rebuilt(store)
    assert (one.state, one.body) == ("Good", made)


def test_a_later_comparison_is_used(store: FolderStore, output: Path) -> None:
    record = train(store, "uid-1", output)
    later = Comparison(champion=7, champion_digest="c" * 64, reason="TooFewRows")
    store.replace(KEYS.compared(record.version), canonical_json(later.wire()))
    (one,) = rebuilt(store)
    assert one.body is not None
    assert one.body["spec"]["comparison"] == later.wire()
    store.replace(KEYS.compared(record.version), b"{}")
    (one,) = rebuilt(store)
    assert one.state == "Broken"
    assert "comparison.json cannot be read" in one.message


def test_a_storage_that_moved(store: FolderStore, output: Path) -> None:
    train(store, "uid-1", output)
    moved = STORAGE.model_copy(update={"uri": "pvc://copy/models", "endpoint": None})
    (one,) = rebuilt(store, RebuildOptions(moved))
    assert one.body is not None
    assert one.body["spec"]["artifact"]["uri"] == "pvc://copy/models/shop/demand/runs/uid-1/1"
    assert one.body["spec"]["storage"] == moved.wire()


def test_the_storage_of_the_manifest_is_kept(store: FolderStore, output: Path) -> None:
    """The address used for the import can differ from that of the cluster, such as the endpoint of the server."""
    train(store, "uid-1", output)
    other_way = STORAGE.model_copy(update={"uri": f"{STORAGE.uri}/", "endpoint": "http://127.0.0.1:7070"})
    (one,) = rebuilt(store, RebuildOptions(other_way))
    (moved,) = rebuilt(store, RebuildOptions(other_way, is_moved=True))
    assert one.body is not None
    assert moved.body is not None
    assert one.body["spec"]["storage"] == STORAGE.wire()
    assert one.body["spec"]["artifact"]["uri"] == "s3://models/all/shop/demand/runs/uid-1/1"
    assert moved.body["spec"]["storage"]["endpoint"] == "http://127.0.0.1:7070"


def test_without_gates_only_on_request(store: FolderStore, output: Path) -> None:
    train(store, "uid-1", output, request=None)
    (one,) = rebuilt(store)
    assert (one.state, one.body) == ("Broken", None)
    assert "--without-gates" in one.message
    (one,) = rebuilt(store, RebuildOptions(STORAGE, without_gates=True))
    assert one.body is not None
    assert "gates" not in one.body["spec"]


Damage = Callable[[Path, Path], None]


def break_claim(root: Path, run: Path) -> None:
    (run.parents[2] / "versions/00000002/version.json").write_text("{")


def lose_manifest(root: Path, run: Path) -> None:
    (run / MANIFEST).unlink()


def change_manifest(root: Path, run: Path) -> None:
    (run / MANIFEST).write_text((run / MANIFEST).read_text().replace("LightGBM", "lightGBM"))


def lose_file(root: Path, run: Path) -> None:
    (run / "model.txt").unlink()


def cut_file(root: Path, run: Path) -> None:
    (run / "model.txt").write_text("tree")


def copy_claim(root: Path, run: Path) -> None:
    claims = run.parents[2] / "versions"
    (claims / "00000002/version.json").write_bytes((claims / "00000001/version.json").read_bytes())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_claim, "version.json cannot be read"),
        (lose_manifest, "manifest.json is missing; restore it"),
        (change_manifest, "manifest.json was changed after version 2 was registered"),
        (lose_file, "model.txt is missing; restore it"),
        (cut_file, "model.txt has 4 bytes instead of 500"),
        (copy_claim, "it was copied here from another folder"),
    ],
)
def test_an_error_in_one_version_does_not_affect_others(
    store: FolderStore, root: Path, output: Path, damage: Damage, message: str
) -> None:
    for uid in ("uid-1", "uid-2", "uid-3"):
        train(store, uid, output)
    train(store, "uid-4", output, ModelKeys("shop", "other"))
    damage(root, root / KEYS.run("uid-2", "1"))
    found = rebuilt(store)
    assert [(one.keys.model, one.number, one.state) for one in found] == [
        ("demand", 1, "Good"),
        ("demand", 2, "Broken"),
        ("demand", 3, "Good"),
        ("other", 1, "Good"),
    ]
    assert message in found[1].message


def test_a_changed_byte_is_found_by_the_digest(store: FolderStore, root: Path, output: Path) -> None:
    train(store, "uid-1", output)
    file = root / KEYS.run("uid-1", "1") / "model.txt"
    file.write_text(file.read_text().replace("tree", "eert", 1))
    assert [one.state for one in rebuilt(store)] == ["Good"]
    (one,) = rebuilt(store, RebuildOptions(STORAGE, check_files=True))
    assert one.state == "Broken"
    assert "changed after registration" in one.message


def test_a_run_of_another_model_is_refused(store: FolderStore, root: Path, output: Path) -> None:
    train(store, "uid-1", output)
    (root / "shop/demand").rename(root / "shop/renamed")
    (one,) = rebuilt(store)
    assert one.state == "Broken"
    assert "copied here from another folder" in one.message


def test_numbers_without_a_version_and_runs_without_a_number(store: FolderStore, root: Path, output: Path) -> None:
    record = train(store, "uid-1", output)
    reserve_version(store, KEYS, "uid-2")
    begin_run(store, KEYS, "uid-2", 1)
    train(store, "uid-3", output)
    (root / KEYS.version(3)).unlink()
    found = rebuilt(store)
    assert [one.state for one in found] == ["Good", "Reserved", "Reserved"]
    unfinished, finished = left_over(store, KEYS)
    assert "runs/uid-2: 1 runs without a manifest" in unfinished
    assert "runs/uid-3: run 1 is finished and has no version" in finished
    store.put_if_absent(KEYS.removed(record.version), b"{}")
    assert [one.state for one in rebuilt(store)] == ["Removed", "Reserved", "Reserved"]


def test_other_folders_are_ignored(store: FolderStore, root: Path, output: Path) -> None:
    train(store, "uid-1", output)
    for name in ("lost+found", "shop/README", "other-tool/state/files", "UPPER/case/runs"):
        (root / name).mkdir(parents=True)
    (root / "result.json").write_text("{}")
    (root / "shop/notes").write_text("text")
    assert models_in(store) == [KEYS]
    assert models_in(store, "shop") == [KEYS]
    assert models_in(store, "market") == models_in(store, model="nothing") == []


def test_hundreds_of_versions(store: FolderStore, output: Path) -> None:
    for number in range(300):
        train(store, f"uid-{number}", output)
    found = rebuilt(store)
    assert [one.number for one in found] == list(range(1, 301))
    assert {one.state for one in found} == {"Good"}
