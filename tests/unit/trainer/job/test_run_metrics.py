"""The metrics of a whole run: the positive class, the baseline, the ranking metric, and the warnings."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from tests.unit.trainer.data.jobs import write
from trainyard_trainer.artifacts.manifest import Manifest, parse_manifest
from trainyard_trainer.cli.main import main


def trained(folder: Path, frame: pd.DataFrame, **spec: Any) -> tuple[Manifest, dict[str, Any], str]:
    """Return the manifest, the result and the page of a local run."""
    data = {"uri": f"file://{write(folder, frame.to_csv(index=False))}", **spec.pop("data")}
    job = {
        "apiVersion": "trainyard.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": "honest"},
        "spec": {"framework": "LightGBM", "data": data, **spec},
    }
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    assert main(["run", "-f", str(folder / "job.yaml"), "--output", str(folder / "out")]) == 0
    (run,) = {path.parent for path in (folder / "out").rglob("manifest.json")}
    result = json.loads((folder / "out" / "result.json").read_text())
    return parse_manifest((run / "manifest.json").read_bytes(), "manifest"), result, (run / "report.html").read_text()


def test_metrics_of_rare_failures(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    heat = random.normal(0, 1, 900)
    frame = pd.DataFrame({"heat": heat, "state": np.where(heat + random.normal(0, 1, 900) > 2.8, "defekt", "ok")})
    share = (frame["state"] == "defekt").mean()
    assert 0.01 < share < 0.05
    manifest, result, page = trained(
        tmp_path,
        frame,
        task="Classification",
        data={"target": "state"},
        threshold={"costOfMiss": 20, "costOfAlarm": 1},
    )
    assert manifest.positive_class == "defekt"
    assert manifest.baseline == "class shares"
    assert result["signature"]["positiveClass"] == "defekt"
    assert manifest.signature is not None
    assert manifest.signature.positive_class is None, "servers of the first release read this manifest too"
    assert manifest.metrics["baseline_average_precision"] < 0.1
    assert manifest.metrics["baseline_auc"] == 0.5
    assert manifest.metrics["baseline_recall"] == 0
    warnings = " ".join(result["warnings"])
    assert f"class 'defekt' of 'state' is {share:.2%} of the rows" in warnings
    assert "rows of 'defekt': metrics of so few rows depend mostly on chance" in warnings
    assert "positive class &#39;defekt&#39; (the rarer of two" in page
    assert "Cost by threshold" in page
    assert "the least cost on" in page


def test_metrics_of_many_series(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    days = pd.date_range("2025-01-01", periods=160)
    series = [
        pd.DataFrame(
            {"day": days, "item": f"item-{n}", "sold": 10.0 ** (n + 1) * (100 + np.cumsum(random.normal(0, 1, 160)))}
        )
        for n in range(4)
    ]
    manifest, result, page = trained(
        tmp_path,
        pd.concat(series),
        task="Forecast",
        data={"time": "day", "series": "item", "target": "sold"},
        forecast={"horizon": 7},
        parameters={"num_iterations": 1, "learning_rate": 0.001},
    )
    assert manifest.objective.metric == "mase"
    assert manifest.baseline == "last value"
    assert "Naive model: last value" in page
    assert manifest.metrics["mase"] == manifest.objective.value
    below = manifest.metrics["series_below_baseline"]
    reported = [text for text in result["warnings"] if "have a worse forecast than the baseline (last value)" in text]
    assert bool(reported) == (below > 2)


def test_metrics_of_series_without_a_scale(tmp_path: Path) -> None:
    days = pd.date_range("2025-01-01", periods=120)
    values = np.where(np.arange(120) < 113, 7.0, 9.0)  # constant before the holdout
    frame = pd.concat([pd.DataFrame({"day": days, "item": name, "sold": values}) for name in ("a", "b")])
    manifest, result, _ = trained(
        tmp_path,
        frame,
        task="Forecast",
        data={"time": "day", "series": "item", "target": "sold"},
        forecast={"horizon": 7},
    )
    assert (manifest.objective.metric, manifest.objective.value) == ("mae", 2.0)
    assert any(
        text.startswith("mase has no value on the holdout (mase and rmsse leave out 2 of 2")
        for text in result["warnings"]
    )
