"""Objectives and gates accept exactly the metrics that evaluations have."""

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import context_of, dataset_of, job, write
from trainyard_api.metric_goals import GOALS
from trainyard_trainer.errors import ConfigError
from trainyard_trainer.evaluate.data_metrics import DATA_METRICS, ROWS_RATIO
from trainyard_trainer.evaluate.names import (
    BASELINE,
    BIAS,
    METRICS,
    THRESHOLD,
    TWO_CLASSES,
    check_container_metrics,
    ranking_metrics,
    ranking_value,
    searched_metric,
)
from trainyard_trainer.frameworks.registry import framework_for


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
@pytest.mark.parametrize("name", ["LightGBM", "Torch"])
def test_the_lists_match_the_evaluations(tmp_path, name, task, target, missing):
    few = {"LightGBM": {"num_iterations": 20}, "Torch": {"epochs": 2}}[name]
    assert metrics_of(job_of(tmp_path, task, target, framework=name, parameters=few), tmp_path) == (
        set(METRICS[task]) - missing
    )


def test_prophet_has_the_metrics_of_every_forecast(tmp_path):
    assert metrics_of(job_of(tmp_path, "Forecast", "y"), tmp_path) == set(METRICS["Forecast"])


def metrics_of(config, folder):
    """Return the names of the metrics of an evaluation, after a check that each baseline metric has its metric."""
    framework, dataset, context = framework_for(config), dataset_of(config, folder), context_of(config, folder)
    found = framework.evaluate(dataset, framework.train(dataset, context), context).metrics
    names = {name for name in found if not name.startswith(BASELINE)} - {THRESHOLD}
    assert {name.removeprefix(BASELINE) for name in found if name.startswith(BASELINE)} <= names
    return names


@pytest.mark.parametrize(
    ("task", "metric", "words"),
    [
        (
            "Regression",
            "maee",
            "maee is not a metric of task Regression; did you mean mae?",
        ),
        ("Regression", "auc", "these metrics exist: mae, rmse, mape, smape, wape, r2, bias, skill"),
        ("Classification", "rmse", "these metrics exist: accuracy, precision"),
        ("Forecast", "baseline_mae", "these metrics exist: mae"),
    ],
)
def test_an_unknown_objective_is_refused_before_data_is_read(task, metric, words):
    with pytest.raises(ConfigError) as caught:
        framework_for(job("s3://bucket/t.csv", task=task, objective={"metric": metric}))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("task", "metric"), [(task, name) for task, names in METRICS.items() for name in names if name != BIAS]
)
def test_every_listed_metric_can_be_an_objective(task, metric):
    framework_for(job("s3://bucket/t.csv", task=task, objective={"metric": metric}))


def test_a_metric_of_two_classes_is_refused_for_three_before_the_training(tmp_path):
    config = job_of(tmp_path, "Classification", "three", objective={"metric": "average_precision"})
    framework, dataset, context = framework_for(config), dataset_of(config, tmp_path), context_of(config, tmp_path)
    with pytest.raises(ConfigError, match="average_precision is not a metric of a target of 3 classes"):
        framework.train(dataset, context)
    assert not context.output.exists()


def test_exactly_the_metrics_have_a_goal():
    of_models = {name for names in METRICS.values() for name in names} - {BIAS}
    assert set(GOALS) == of_models | set(DATA_METRICS) - {ROWS_RATIO}


@pytest.mark.parametrize("task", METRICS)
@pytest.mark.parametrize("metric", DATA_METRICS)
def test_data_metrics_are_for_gates_only(task, metric):
    framework_for(job("s3://bucket/t.csv", task=task, gates=[{"metric": metric, "op": "<=", "value": 0.25}]))
    with pytest.raises(ConfigError, match=f"{metric} is not a metric of task {task}"):
        framework_for(job("s3://bucket/t.csv", task=task, objective={"metric": metric}))


def test_a_data_gate_cannot_have_compare_to():
    with pytest.raises(
        ConfigError,
        match=r"spec.gates\[0\] compares data_shift with the champion, but this metric already is a comparison",
    ):
        framework_for(job("s3://bucket/t.csv", gates=[{"metric": "data_shift", "compareTo": "Champion"}]))
    with pytest.raises(
        ConfigError,
        match=r"data_shfit is not a metric of the data; did you mean data_shift\?; these metrics exist: data_",
    ):
        framework_for(job("s3://bucket/t.csv", gates=[{"metric": "data_shfit", "op": "<", "value": 1}]))


def test_the_bias_is_for_gates_and_cannot_be_an_objective():
    framework_for(job("s3://bucket/t.csv", gates=[{"metric": "bias", "op": "<", "value": 5}]))
    with pytest.raises(ConfigError, match=r"spec\.objective\.metric bias cannot rank models"):
        framework_for(job("s3://bucket/t.csv", objective={"metric": "bias"}))
    with pytest.raises(ConfigError, match=r"spec.gates\[0\] compares bias with the champion"):
        framework_for(job("s3://bucket/t.csv", gates=[{"metric": "bias", "compareTo": "Champion"}]))


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("mapee", r"spec.gates\[1\].metric mapee is not a metric of task Regression; did you mean mape\?"),
        ("auc", "these metrics exist: mae, rmse, mape, smape, wape, r2, bias, skill"),
        ("baseline_mae", "these metrics exist: mae"),
    ],
)
def test_a_gate_on_an_unknown_metric_is_refused_before_data_is_read(metric, words):
    gates = [{"metric": "mae", "op": "<", "value": 9}, {"metric": metric, "compareTo": "Champion"}]
    with pytest.raises(ConfigError, match=words):
        framework_for(job("s3://bucket/t.csv", gates=gates))


def test_a_gate_on_a_metric_of_two_classes_is_refused_for_three_before_the_training(tmp_path):
    gates = [{"metric": "f1@0.5", "op": ">", "value": 0.5}]
    config = job_of(tmp_path, "Classification", "three", gates=gates)
    framework, dataset, context = framework_for(config), dataset_of(config, tmp_path), context_of(config, tmp_path)
    with pytest.raises(ConfigError, match=r"spec.gates\[0\].metric f1@0.5 is not a metric of a target of 3 classes"):
        framework.train(dataset, context)
    assert not context.output.exists()


def test_a_wrong_goal_is_refused():
    with pytest.raises(ConfigError, match="Minimize is wrong for auc: remove it, or write Maximize"):
        framework_for(job("s3://bucket/t.csv", task="Classification", objective={"metric": "auc", "goal": "Minimize"}))


def container(**spec):
    return job("s3://bucket/t.csv", framework="Container", image="own", command=["train"], **spec).spec


def test_compared_metrics_of_a_container_need_a_goal():
    gates = [{"metric": "lift", "compareTo": "Champion"}, {"metric": "anything", "op": ">", "value": 0}]
    with pytest.raises(ConfigError, match=r"spec.gates\[0\] compares lift"):
        check_container_metrics(container(gates=gates))
    with pytest.raises(ConfigError, match=r"set spec.objective to \{metric: lift, goal: Minimize\}"):
        check_container_metrics(container(gates=gates, objective={"metric": "lift"}))
    check_container_metrics(container(gates=gates, objective={"metric": "lift", "goal": "Maximize"}))
    check_container_metrics(container(gates=[{"metric": "auc", "compareTo": "Champion"}], objective={"metric": "lift"}))


@pytest.mark.parametrize(
    ("spec", "metrics"),
    [
        ({"task": "Forecast"}, ("mae",)),
        ({"task": "Forecast", "data": {"series": "item"}}, ("mase", "mae")),
        ({"task": "Forecast", "data": {"series": "item"}, "objective": {"metric": "rmse"}}, ("rmse",)),
        ({"task": "Regression", "data": {"series": "item"}}, ("mae",)),
        ({"task": "Classification"}, ("auc", "f1")),
    ],
)
def test_the_ranking_metric_is_known_before_data_is_read(spec, metrics):
    spec_of_job = job("s3://bucket/t.csv", **spec).spec
    assert ranking_metrics(spec_of_job) == metrics
    assert searched_metric(spec_of_job) == metrics[0]
    found = {"mae": 3.0, "f1": 0.5, "rmse": 4.0}
    assert ranking_value(spec_of_job, found) == found[metrics[-1]]
    assert ranking_value(spec_of_job, {}) is None
