"""The result of a search for each series is stored with the version, and tried early in the model's next training."""

import json
from pathlib import Path
from typing import Any

from tests.integration.trainer.tables import forecast, sales_csv
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_api.wire import TrainerConfig, TrainingResult
from trainyard_trainer.environment import Environment
from trainyard_trainer.job.run import read_config, run_job
from trainyard_trainer.progress.log import JsonLines

SPACE = {"seasonality_prior_scale": {"type": "Float", "low": 0.001, "high": 1.0, "log": True}}
"""A range without the default, so that a found value differs from it."""


def train(folder: Path, uid: str, trials: int) -> dict[str, Any]:
    """Run a job of the model and return its ``search.json``."""
    spec = forecast(
        "pvc://data/sales.csv",
        storage={"uri": "pvc://m/models"},
        parameters={"n_changepoints": 2},
        search={"space": SPACE, "trials": trials},
    )
    config = TrainerConfig(
        namespace="shop", name="demand", uid=uid, model_name="demand", spec=TrainingJobSpec.model_validate(spec)
    )
    (folder / f"config-{uid}").mkdir()
    (folder / f"config-{uid}" / "config.json").write_text(config.to_json())
    env = Environment.from_environ(
        {
            "TRAINYARD_CONFIG_DIR": str(folder / f"config-{uid}"),
            "TRAINYARD_CLAIMS_DIR": str(folder / "claims"),
            "TRAINYARD_WORK_DIR": str(folder / "work"),
            "TRAINYARD_TERMINATION_LOG": str(folder / f"result-{uid}.json"),
        }
    )
    assert run_job(lambda: read_config(env), env, lambda: False, display=JsonLines()) == 0
    result = TrainingResult.model_validate_json(env.termination_log.read_bytes())
    assert result.outcome == "Succeeded"
    (found,) = (folder / "claims/m/models").rglob(f"runs/{uid}/*/search.json")
    body: dict[str, Any] = json.loads(found.read_text())
    return body


def test_the_next_training_first_tries_the_results_of_the_last_one(tmp_path: Path) -> None:
    for name in ("claims/m", "claims/data", "work"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "claims/data/sales.csv").write_bytes(sales_csv(bread=100, rolls=300))
    first = train(tmp_path, "one", trials=4)
    assert set(first["series"]) == {"bread", "rolls"}
    better = {series: found for series, found in first["series"].items() if found}
    assert better, "at least one of two series has a better value than the default"
    again = train(tmp_path, "two", trials=2)
    assert {series: again["series"][series] for series in better} == better, (
        "the two trials are the default and the last result"
    )
    assert (first["trials"], again["trials"]) == (8, 4)
