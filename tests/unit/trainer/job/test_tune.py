"""A search inside a training: its space, its records, and how the next attempt and the next job use them."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.trainer.job.mean import MeanFramework, config, pod, steps
from tests.unit.trainer.search.factor import FactorFramework
from trainyard_api.wire import TrainingResult
from trainyard_trainer.artifacts.manifest import Manifest, parse_manifest
from trainyard_trainer.errors import ConfigError
from trainyard_trainer.frameworks.registry import framework_for
from trainyard_trainer.job.run import run_job
from trainyard_trainer.job.tune import goal
from trainyard_trainer.progress.log import JsonLines

SEARCH = {"trials": 12, "timeoutSeconds": 600}


def run(folder: Path, using: MeanFramework, stop: Callable[[], bool] = lambda: False, **changes: Any) -> int:
    changes = {"search": SEARCH, **changes}
    return run_job(lambda: config(**changes), pod(folder), stop, display=JsonLines(), steps=steps(using))


def result_of(folder: Path) -> TrainingResult:
    return TrainingResult.model_validate_json(pod(folder).termination_log.read_text())


def run_folder(folder: Path) -> Path:
    artifact = result_of(folder).artifact
    assert artifact is not None
    return folder / "claims/models/all" / artifact.uri.removeprefix("pvc://models/all/")


def manifest_of(folder: Path) -> Manifest:
    return parse_manifest((run_folder(folder) / "manifest.json").read_bytes(), "manifest")


def checkpoints_of(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "claims").glob("models/all/shop/demand/runs/*/checkpoints/*/*"))


def test_the_final_training_uses_the_found_parameters(tmp_path: Path) -> None:
    framework = FactorFramework()
    assert run(tmp_path, framework, parameters={"other": 7}) == 0
    assert framework.tried[0] == {"other": 7}
    assert all(one["other"] == 7 for one in framework.tried)
    assert 1.5 < framework.final["factor"] < 3.5
    assert framework.final["other"] == 7
    found = json.loads((run_folder(tmp_path) / "search.json").read_text())
    assert found["parameters"] == {name: framework.final[name] for name in ("factor", "shift")}
    assert found["series"] == {}
    assert 10 <= found["trials"] <= 12
    manifest = manifest_of(tmp_path)
    assert [entry.path for entry in manifest.files].count("search.json") == 1
    assert manifest.parameters["factor"] == framework.final["factor"]


def test_without_a_search_there_is_no_trace_of_one(tmp_path: Path) -> None:
    framework = FactorFramework()
    assert run(tmp_path, framework, search=None) == 0
    assert framework.tried == []
    assert not (run_folder(tmp_path) / "search.json").exists()


def test_every_trial_is_logged_and_the_percentage_stays_in_the_stage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "trainyard")
    assert run(tmp_path, FactorFramework()) == 0
    lines = [line for line in caplog.messages if line.startswith("trial ") and " in " in line]
    assert lines[0].startswith("trial 1 of 12 in 0.0 s: mae 1.5; best 1.5 (the defaults)")
    assert [int(line.split()[1]) for line in lines] == list(range(1, len(lines) + 1))
    assert caplog.messages[caplog.messages.index(lines[-1]) + 1].startswith("the best of ")


def test_the_users_space_and_its_defaults_have_priority(tmp_path: Path) -> None:
    framework = FactorFramework()
    space = {"factor": {"type": "Float", "low": 2, "high": 3, "default": 2.9}}
    assert run(tmp_path, framework, search={**SEARCH, "space": space}) == 0
    assert framework.tried[0] == {"factor": 2.9}
    assert all(set(one) == {"factor"} and 2 <= one["factor"] <= 3 for one in framework.tried)


def test_set_parameters_are_not_searched_unless_in_the_users_space(tmp_path: Path) -> None:
    framework = FactorFramework()
    assert run(tmp_path / "a", framework, parameters={"factor": 2.0}) == 0
    assert {one["factor"] for one in framework.tried} == {2.0}
    space = {"factor": {"type": "Float", "low": 2, "high": 3}}
    framework = FactorFramework()
    assert run(tmp_path / "b", framework, parameters={"factor": 2.0}, search={**SEARCH, "space": space}) == 0
    assert framework.tried[0] == {"factor": 2.0}
    assert len({one["factor"] for one in framework.tried}) > 5
    assert run(tmp_path / "c", FactorFramework(), parameters={"factor": 2.0, "shift": 0}) == 64
    assert "name at least one in spec.search.space" in (result_of(tmp_path / "c").message or "")


def test_the_next_job_starts_with_the_parameters_of_the_last_version(tmp_path: Path) -> None:
    first, second = FactorFramework(), FactorFramework()
    assert run(tmp_path, first) == 0
    assert run(tmp_path, second, uid="uid-2") == 0
    assert second.tried[:2] == [{}, first.final]
    third = FactorFramework()
    assert run(tmp_path, third, uid="uid-3", framework="Torch") == 0
    assert third.tried[1] != second.final


def test_an_unreadable_search_of_the_last_version_is_a_warning(tmp_path: Path) -> None:
    assert run(tmp_path, FactorFramework()) == 0
    (run_folder(tmp_path) / "search.json").write_text("{}")
    framework = FactorFramework()
    assert run(tmp_path, framework, uid="uid-2") == 0
    warnings = result_of(tmp_path).warnings or []
    assert any("without the parameters of the model's last version" in one and "was changed" in one for one in warnings)
    assert framework.tried[0] == {}


@pytest.mark.parametrize("at", [1, 3, 5, 8])
def test_an_interrupted_search_continues(tmp_path: Path, at: int) -> None:
    undisturbed = FactorFramework()
    assert run(tmp_path / "whole", undisturbed) == 0
    stop_requests: list[int] = []

    def stop_in(number: int) -> None:
        if number == at:
            stop_requests.append(number)

    broken = FactorFramework(during_trial=stop_in)
    assert run(tmp_path / "parts", broken, stop=lambda: bool(stop_requests)) == 75
    assert len(broken.tried) == at
    assert checkpoints_of(tmp_path / "parts")[-1] == (f"search%2F{at - 2:04}.json" if at > 1 else "previous.json")
    rest = FactorFramework()
    assert run(tmp_path / "parts", rest, attempt=2) == 0
    assert [*broken.tried[:-1], *rest.tried] == undisturbed.tried
    assert rest.final == undisturbed.final
    assert manifest_of(tmp_path / "parts").content_sha256 == manifest_of(tmp_path / "whole").content_sha256
    assert checkpoints_of(tmp_path / "parts") == []


def test_a_version_of_another_job_between_two_attempts_changes_nothing(tmp_path: Path) -> None:
    undisturbed = FactorFramework()
    assert run(tmp_path / "whole", undisturbed) == 0
    stop_requests: list[int] = []
    broken = FactorFramework(during_trial=lambda number: stop_requests.append(number) if number == 1 else None)
    assert run(tmp_path / "parts", broken, stop=lambda: bool(stop_requests)) == 75
    assert run(tmp_path / "parts", FactorFramework(), uid="another") == 0
    rest = FactorFramework()
    assert run(tmp_path / "parts", rest, attempt=2) == 0
    assert rest.tried == undisturbed.tried


def test_the_content_digest_includes_the_found_parameters(tmp_path: Path) -> None:
    jobs: dict[str, dict[str, Any]] = {"one": {}, "two": {"uid": "b", "attempt": 3}, "other": {"split": {"seed": 7}}}
    for name, changes in jobs.items():
        assert run(tmp_path / name, FactorFramework(), **changes) == 0
    one, two, other = (manifest_of(tmp_path / name).content_sha256 for name in ("one", "two", "other"))
    assert one is not None
    assert one == two != other


def test_an_unreadable_trial_runs_again(tmp_path: Path) -> None:
    stop_requests: list[int] = []
    broken = FactorFramework(during_trial=lambda number: stop_requests.append(number) if number == 5 else None)
    assert run(tmp_path, broken, stop=lambda: bool(stop_requests)) == 75
    (file,) = (tmp_path / "claims").rglob("search%2F0002.json")
    file.write_text("half of")
    rest = FactorFramework()
    assert run(tmp_path, rest, attempt=2) == 0
    assert rest.tried[0] == broken.tried[2]


def test_an_invalid_space_is_refused_before_data_is_read() -> None:
    wrong = {"space": {"num_leaves": {"type": "Int", "low": 9, "high": 2}}}
    with pytest.raises(ConfigError, match=r"spec\.search\.space\.num_leaves: low 9 is above high 2"):
        framework_for(config(search=wrong))


def test_a_search_needs_a_metric_that_can_rank() -> None:
    spec = config(search=SEARCH, objective={"metric": "bias"}).spec
    with pytest.raises(
        ConfigError, match=r"spec\.objective\.metric bias cannot rank models, so spec\.search cannot use it"
    ):
        goal(spec)
    assert goal(config(search=SEARCH, objective={"metric": "r2"}).spec) == "Maximize"
    assert goal(config(search=SEARCH).spec) == "Minimize"


def test_a_space_whose_sets_all_fail_is_an_error(tmp_path: Path) -> None:
    space = {"factor": {"type": "Float", "low": 3.95, "high": 4}}
    assert run(tmp_path, FactorFramework(), search={**SEARCH, "space": space}) == 64
    message = result_of(tmp_path).message or ""
    assert "all 9 parameter sets of the space failed" in message
    assert "a factor above 3.9 is refused" in message
