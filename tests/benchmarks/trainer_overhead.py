"""The trainer's time from load to evaluate, compared with the bare libraries on the same fits.

    PYTHONPATH=. .venv/bin/python tests/benchmarks/trainer_overhead.py

Both sides run in one process on the same data. They read the file, fit with the same parameters on the same rows with
one worker, and compute the same metrics. The results must agree. Both fit the judged model and the final model of all
rows. The trainer also computes hashes, validates, splits, finds the frequency, tries the parameters, judges the naive
models and saves. Imports are not measured, and the first run of each side is a warm-up.

The sides alternate, and the ratio of each pair is computed, so that other load on the machine affects both. CPU time is
that of this process and its children.
"""

import argparse
import functools
import resource
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn import metrics as sk

from tests.unit.trainer.data.jobs import REAL_DATA, context_of, dataset_of, environment, job
from trainyard_api.wire import TrainerConfig
from trainyard_trainer.data.dataset import Parts
from trainyard_trainer.data.loading import load
from trainyard_trainer.data.preprocessing import preprocess
from trainyard_trainer.data.values.frequency import frequency_of
from trainyard_trainer.frameworks.lightgbm.parameters import resolved
from trainyard_trainer.frameworks.prophet.series import quiet_prophet, seasonalities
from trainyard_trainer.frameworks.registry import framework_for

LEAKS = ["UDI", "TWF", "HDF", "PWF", "OSF", "RNF"]
DROPPED = ["Product ID", "date_time"]
HORIZON = 8
SERIES = 12


def trainer(config: TrainerConfig, folder: Path, workers: int = 1) -> float:
    """Run the stages as the pipeline does. Return one metric for the comparison."""
    framework = framework_for(config)
    table = load(config, environment(folder), lambda *_: None, lambda: False)
    dataset = preprocess(table, config)
    context = context_of(config, folder, workers=workers)
    trained = framework.train(dataset, context)
    found = framework.evaluate(dataset, trained, context).metrics
    return found["auc" if config.spec.task == "Classification" else "mae"]


def bare_lightgbm(config: TrainerConfig, path: Path, parts: Parts, text: str) -> float:
    """Train as a notebook would, with the trainer's parameters and rows. ``text`` is the categorical column."""
    spec = config.spec
    frame = pd.read_csv(path)
    target = frame.pop(spec.data.target).to_numpy()
    frame = frame.drop(columns=[*(spec.data.exclude or []), *DROPPED], errors="ignore").astype({text: "category"})
    frame.columns = [name.replace(" ", "_").replace("[", "").replace("]", "") for name in frame.columns]
    train, valid, test = parts.train, parts.validation, parts.test
    classes = 2 if spec.task == "Classification" else 0
    parameters = resolved({}, spec.task, classes=classes, seed=42, threads=1)
    training = lightgbm.Dataset(frame.iloc[train], target[train], params=parameters)
    watched = lightgbm.Dataset(frame.iloc[valid], target[valid], reference=training, params=parameters)
    trial = lightgbm.train(parameters, training, valid_sets=[watched])
    known = np.sort(np.concatenate([train, valid]))
    final = {**parameters, "num_iterations": trial.best_iteration, "early_stopping_round": 0}
    model = lightgbm.train(final, lightgbm.Dataset(frame.iloc[known], target[known], params=final))
    lightgbm.train(final, lightgbm.Dataset(frame, target, params=final))  # the final model, which would serve
    predicted, actual = model.predict(frame.iloc[test], num_threads=1), target[test]
    if not classes:
        sk.r2_score(actual, predicted)
        sk.root_mean_squared_error(actual, predicted)
        sk.mean_absolute_percentage_error(actual, predicted)
        return float(sk.mean_absolute_error(actual, predicted))
    seen = trial.predict(frame.iloc[valid], num_threads=1)
    precision, recall, cuts = sk.precision_recall_curve(target[valid], seen)
    threshold = cuts[np.argmax((precision * recall / np.maximum(precision + recall, 1e-12))[:-1])]
    for cut in (threshold, 0.5):
        sk.precision_recall_fscore_support(actual, predicted >= cut, average="binary")
        sk.accuracy_score(actual, predicted >= cut)
    sk.log_loss(actual, predicted)
    sk.average_precision_score(actual, predicted)
    return float(sk.roc_auc_score(actual, predicted))


def bare_prophet(path: Path) -> float:
    """Compare Prophet with last year on two folds. Fit the better one without and with the last steps."""
    frame = pd.read_csv(path, parse_dates=["ds"])
    errors = []
    for _, rows in frame.groupby("key", observed=True):
        series = rows[["ds", "y"]].sort_values("ds")
        actual, end = series["y"].to_numpy(), len(series)
        folds = [end - 3 * HORIZON, end - 2 * HORIZON]
        errors_by_fold = [
            (np.abs(forecast(series, cut) - actual[cut : cut + HORIZON]).mean(), _naive_error(actual, cut))
            for cut in folds
        ]
        prophet, naive = np.mean(errors_by_fold, axis=0)
        cut = end - HORIZON
        if prophet > naive:
            errors.append(np.full(HORIZON, _naive_error(actual, cut)))
            continue
        errors.append(np.abs(forecast(series, cut) - actual[cut:]))
        quiet_prophet().serialize.model_to_json(_fit(series))
    return float(np.concatenate(errors).mean())


def forecast(series: pd.DataFrame, cut: int) -> npt.NDArray[np.float64]:
    """Fit the rows before ``cut``, and forecast the next steps."""
    model = _fit(series.iloc[:cut])
    predicted = model.predict(series.iloc[cut : cut + HORIZON][["ds"]])["yhat"].clip(lower=0)
    return np.asarray(predicted, dtype=np.float64)


def _fit(part: pd.DataFrame) -> Any:
    span = (part["ds"].iloc[-1] - part["ds"].iloc[0]) / pd.Timedelta(days=1)
    model = quiet_prophet().Prophet(uncertainty_samples=0, **seasonalities(span, frequency_of("QS")))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(part, seed=42, output_dir=folder)


def _naive_error(actual: npt.NDArray[np.float64], cut: int) -> float:
    last_year = np.tile(actual[cut - 4 : cut], HORIZON // 4)
    return float(np.abs(last_year - actual[cut : cut + HORIZON]).mean())


def tourism(folder: Path) -> Path:
    """Write the first series of the tourism data without zeros, with a column of their names."""
    frame = pd.read_csv(REAL_DATA / "australia_tourism.csv").rename(columns={"date_time": "ds", "Trips": "y"})
    frame["key"] = frame["Region"] + "/" + frame["Purpose"]
    least = frame.groupby("key", sort=False)["y"].min()
    kept = least.index[least > 0][:SERIES]
    path = folder / "tourism.csv"
    frame.loc[frame["key"].isin(kept), ["ds", "key", "y"]].to_csv(path, index=False)
    return path


def timed(work: Callable[[], float]) -> tuple[float, float, float]:
    """Return wall seconds, CPU seconds and the result."""
    wall, before = time.perf_counter(), _cpu_seconds()
    result = work()
    return time.perf_counter() - wall, _cpu_seconds() - before, result


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def compare(name: str, ours: Callable[[], float], bare: Callable[[], float], repeats: int) -> None:
    """Print one line: the medians, and the median and the range of the ratios of the pairs."""
    ours(), bare()
    pairs = []
    for round_number in range(repeats):
        sides = [ours, bare] if round_number % 2 == 0 else [bare, ours]
        measured = {side: timed(side) for side in sides}
        pairs.append((measured[ours], measured[bare]))
    for at, unit in ((0, "wall"), (1, "CPU")):
        ours_s, bare_s = ([pair[side][at] for pair in pairs] for side in (0, 1))
        ratios = sorted(a / b for a, b in zip(ours_s, bare_s, strict=True))
        print(
            f"{name:34} {unit:4}  trainer {statistics.median(ours_s):6.3f} s  "
            f"bare {statistics.median(bare_s):6.3f} s  "
            f"ratio {statistics.median(ratios):5.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"
        )
    if not np.isclose(pairs[0][0][2], pairs[0][1][2], rtol=1e-6):
        raise SystemExit(f"{name}: the two sides did not do the same: {pairs[0][0][2]} and {pairs[0][1][2]}")


def main() -> None:
    """Run both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        machines, bikes = REAL_DATA / "ai4i2020.csv", REAL_DATA / "bike_sharing_hourly.csv"
        failure = job(machines, task="Classification", target="Machine failure", data={"exclude": LEAKS})
        rides = job(bikes, target="users", data={"time": "date_time"}, split={"strategy": "Time"})
        for title, config, path, text in (
            ("LightGBM, AI4I, 10,000 rows", failure, machines, "Type"),
            ("LightGBM, bikes, 17,544 rows", rides, bikes, "weather"),
        ):
            parts = dataset_of(config, folder).parts
            assert parts is not None
            ours = functools.partial(trainer, config, folder)
            compare(title, ours, functools.partial(bare_lightgbm, config, path, parts, text), repeats)
        trips = tourism(folder)
        config = job(trips, task="Forecast", data={"series": "key"}, forecast={"horizon": HORIZON})
        ours = functools.partial(trainer, config, folder)
        compare(f"Prophet, {SERIES} quarterly series", ours, functools.partial(bare_prophet, trips), repeats)


if __name__ == "__main__":
    main()
