"""What an objective may ask for is what the evaluations give."""

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import context_of, dataset_of, job, write
from trainyard_trainer.errors import ConfigError
from trainyard_trainer.evaluate.names import BASELINE, METRICS, THRESHOLD, TWO_CLASSES
from trainyard_trainer.frameworks import framework_for


def table(rows=300):
    random = np.random.default_rng(5)
    x = random.random(rows)
    y = 1 + 3 * x + 0.1 * random.standard_normal(rows)
    return pd.DataFrame(
        {
            "ds": pd.date_range("2025-01-01", periods=rows),
            "x": x,
            "y": y,
            "three": pd.cut(y, 3, labels=["low", "middle", "high"]),
            "two": np.where(y > 2, "yes", "no"),
        }
    )


def job_of(folder, task, target, **spec):
    others = [name for name in ("ds", "y", "three", "two") if name != target]
    data = {} if task == "Forecast" else {"exclude": others}
    return job(write(folder, table().to_csv(index=False)), task=task, target=target, data=data, **spec)


@pytest.mark.parametrize(
    ("task", "target", "missing"),
    [
        ("Regression", "y", set()),
        ("Forecast", "y", set()),
        ("Classification", "two", set()),
        ("Classification", "three", set(TWO_CLASSES)),
    ],
)
def test_the_lists_are_what_the_evaluations_give(tmp_path, task, target, missing):
    config = job_of(tmp_path, task, target)
    framework, dataset, context = framework_for(config), dataset_of(config, tmp_path), context_of(config, tmp_path)
    found = framework.evaluate(dataset, framework.train(dataset, context), context).metrics
    names = {name for name in found if not name.startswith(BASELINE)} - {THRESHOLD}
    assert names == set(METRICS[task]) - missing
    assert {name.removeprefix(BASELINE) for name in found if name.startswith(BASELINE)} <= names


@pytest.mark.parametrize(
    ("task", "metric", "words"),
    [
        ("Regression", "maee", "maee is no metric of task Regression; did you mean mae?; there are mae, rmse"),
        ("Regression", "auc", "there are mae, rmse, mape, wape, r2, skill"),
        ("Classification", "rmse", "there are accuracy, precision"),
        ("Forecast", "baseline_mae", "there are mae"),
    ],
)
def test_an_objective_that_no_task_offers_is_refused_before_data_is_read(task, metric, words):
    with pytest.raises(ConfigError) as caught:
        framework_for(job("s3://bucket/t.csv", task=task, objective={"metric": metric}))
    assert words in str(caught.value)


@pytest.mark.parametrize(("task", "metric"), [(task, name) for task, names in METRICS.items() for name in names])
def test_every_listed_metric_can_be_asked_for(task, metric):
    framework_for(job("s3://bucket/t.csv", task=task, objective={"metric": metric}))


def test_a_metric_of_two_classes_is_refused_for_three_before_the_training(tmp_path):
    config = job_of(tmp_path, "Classification", "three", objective={"metric": "average_precision"})
    framework, dataset, context = framework_for(config), dataset_of(config, tmp_path), context_of(config, tmp_path)
    with pytest.raises(ConfigError, match="average_precision is no metric of a target of 3 classes"):
        framework.train(dataset, context)
    assert not context.output.exists()
