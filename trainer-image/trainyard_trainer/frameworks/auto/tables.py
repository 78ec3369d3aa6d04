"""Auto for tables: trees of several sizes and kinds, weighted by their predictions of the validation part."""

import dataclasses
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import lightgbm
import numpy as np
import pandas as pd

from trainyard_api.training import Auto, Split
from trainyard_api.wire import TrainerConfig
from trainyard_trainer.artifacts.layout import JUDGED
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.errors import ConfigError
from trainyard_trainer.evaluate import names
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.frameworks.auto.training import ENSEMBLE
from trainyard_trainer.frameworks.base import GOLDEN_ROWS, Context, Evaluation, Golden, OnnxModel, Trained
from trainyard_trainer.frameworks.ensemble import Selection, Windows, select, shares
from trainyard_trainer.frameworks.forecast.windows import SQUARED
from trainyard_trainer.frameworks.lightgbm import parameters as lightgbm_parameters
from trainyard_trainer.frameworks.lightgbm.fit import (
    Positions,
    Reporter,
    binned,
    fit,
    judge_rows,
    matrix_of,
    parts_of,
    probabilities_of,
    raw_predictions,
    threads_for,
    threads_to_predict,
)
from trainyard_trainer.frameworks.lightgbm.framework import (
    FILES,
    Description,
    LightGBMFramework,
    Model,
    as_raw,
    importance_of,
    matrix_of_inputs,
    predictions,
    save_model,
)
from trainyard_trainer.frameworks.thresholds import check_classes, cut_for, note_of
from trainyard_trainer.search.tunable import Tunable

FORMAT: Final = "auto-table"
DESCRIPTION_FILE: Final = "auto.json"

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "trees": {},
    "extra-trees": {"extra_trees": True, "feature_fraction": 0.8},
    "small-trees": {"num_leaves": 7},
    "large-trees": {"num_leaves": 127, "min_data_in_leaf": 40, "feature_fraction": 0.7},
}
"""Candidates by name, which is also the name of their folder, with their parameters of LightGBM."""

_BUDGET: Final = 600
_SECONDS_PER_CELL: Final = 2.5e-5
"""Seconds of one core for all fits of a candidate. This is an estimate, measured on 100,000 rows of 50 features."""

_WINDOWS: Final = 200


@dataclass(frozen=True)
class AutoTable:
    """Several models whose predictions are combined. ``weights`` sum to 1, in the order of ``members``."""

    members: Mapping[str, Model]
    weights: tuple[float, ...]

    @property
    def description(self) -> Description:
        """The common metadata, including the threshold of the combined predictions."""
        return next(iter(self.members.values())).description

    def raw(self, rows: Floats, threads: int | None = None) -> Floats:
        """Return the weighted mean of their predictions: see ``raw_predictions``.

        Without ``threads``, a useful number of threads is used.
        """
        outputs = []
        for model in self.members.values():
            count = threads_to_predict(model.booster, rows) if threads is None else threads
            outputs.append(raw_predictions(model.booster, rows, count))
        return np.asarray(np.average(outputs, axis=0, weights=self.weights))

    def save(self, folder: Path) -> None:
        """Write each member into a folder with its name, and the weights next to them."""
        for name, model in self.members.items():
            save_model(model, folder / name)
        weights = dict(zip(self.members, self.weights, strict=True))
        (folder / DESCRIPTION_FILE).write_text(json.dumps({"weights": weights}, indent=1) + "\n")


@dataclass(frozen=True)
class _Tried:
    """A candidate fitted to the training part: its number of rounds, and its predictions of the validation part."""

    parameters: dict[str, Any]
    rounds: int
    raw: Floats


class AutoTableFramework:
    """Candidates are compared on the validation part, and their predictions are combined."""

    name = "Auto"
    format = FORMAT

    def check(self, config: TrainerConfig) -> None:
        """Check the specification. LightGBM validates the values on a few synthetic rows."""
        spec = config.spec
        if spec.search is not None:
            raise ConfigError("spec.search needs a single framework; set spec.framework to one other than Auto")
        for name in spec.parameters or {}:
            if name != "LightGBM":
                raise ConfigError(
                    f"spec.parameters.{name} is not a candidate: with framework Auto, put parameters below the name of "
                    "a candidate, here LightGBM"
                )
        names.check_metrics(spec)
        given = _given(spec.parameters or {})
        for preset in PRESETS.values():
            lightgbm_parameters.try_out({**preset, **given}, spec.task)

    def tunable(self, dataset: Dataset, context: Context) -> Tunable | None:  # noqa: ARG002 - the protocol's
        """Return ``None``: there is no single model to search."""
        return None

    def to_onnx(self, model: Any) -> OnnxModel | None:  # noqa: ARG002 - the protocol's
        """Return ``None``: there is no single model to export."""
        return None

    def train(self, dataset: Dataset, context: Context) -> Trained:
        """Compare the candidates on the validation part, then fit the judged and final models of those with a weight.

        The judged models are trained on the training and validation parts, the final ones on all rows.
        """
        lightgbm.register_logger(logging.getLogger("lightgbm"))
        check_classes(context.config.spec, dataset)
        wanted, warnings = _within_budget(dataset, context)
        tried = {}
        for index, name in enumerate(wanted):
            begin, end = 0.5 * index / len(wanted), 0.5 * (index + 1) / len(wanted)
            tried[name] = _try(dataset, context, name, begin, end)
        selection = _select(dataset, context, list(tried.values()))
        used = {name: float(weight) for name, weight in zip(tried, selection.common, strict=True) if weight > 0}
        blended = np.average([one.raw for one in tried.values()], axis=0, weights=selection.common)
        parts = parts_of(dataset)
        cut = cut_for(context.config.spec, dataset, parts.validation, blended) if dataset.positive_class else None
        description = Description(
            dataset.target, dataset.features, dataset.categories, dataset.classes, sentinels=dataset.sentinels
        )
        if cut is not None:
            description = dataclasses.replace(description, threshold=cut.value, threshold_by=cut.why)
            warnings += [cut.warning] if cut.warning else []
        known = np.sort(np.concatenate([parts.train, parts.validation]))
        chosen = {name: tried[name] for name in used}
        judged = _fitted(dataset, context, chosen, used, description, known, 0.5)
        kept = _fitted(dataset, context, chosen, used, description, np.arange(dataset.rows), 0.75)
        judged.save(context.output / JUDGED)
        kept.save(context.output)
        files = [DESCRIPTION_FILE, *(f"{name}/{file}" for name in used for file in FILES)]
        return Trained(
            formats=(FORMAT,),
            files=(*files, *(f"{JUDGED}/{name}" for name in files)),
            model=(kept, _leaderboard(tried, selection)),
            judged=judged,
            parameters={
                "weights": {name: round(weight, 4) for name, weight in used.items()},
                **{name: {**tried[name].parameters, "best_iteration": tried[name].rounds} for name in used},
            },
            warnings=tuple(warnings),
        )

    def evaluate(self, dataset: Dataset, trained: Trained, context: Context) -> Evaluation:
        """Evaluate on the test part, compared with the mean and the median, or with the share of each class."""
        model, leaderboard = trained.model
        parts = parts_of(dataset)
        context.progress(0.0, f"judging {len(parts.test)} rows")
        raw = trained.judged.raw(matrix_of(dataset, parts.test), threads_for(dataset, context.workers))
        known = np.concatenate([parts.train, parts.validation])
        found = judge_rows(dataset, known, parts.test, raw, model.description.threshold)
        called = note_of(dataset, model.description.threshold, model.description.threshold_by)
        golden = as_raw(dataset, parts.test[:GOLDEN_ROWS])
        context.progress(1.0, "judged", {name: found.metrics[name] for name in (names.SKILL,) if name in found.metrics})
        return Evaluation(
            metrics=found.metrics,
            table=found.table,
            golden=Golden(golden, self.predict(model, golden)),
            importance=_importance(model),
            holdout=found.holdout,
            notes=(shares(trained.parameters["weights"]), *called, *found.notes),
            baseline=found.baseline,
            leaderboard=leaderboard,
        )

    def load(self, folder: Path) -> AutoTable:
        """Read the model of each candidate."""
        weights = json.loads((folder / DESCRIPTION_FILE).read_text())["weights"]
        one = LightGBMFramework()
        return AutoTable({name: one.load(folder / name) for name in weights}, tuple(weights.values()))

    def predict(self, model: AutoTable | tuple[AutoTable, pd.DataFrame], inputs: pd.DataFrame) -> pd.DataFrame:
        """Return predictions for raw rows: see ``LightGBMFramework.predict``."""
        known = model if isinstance(model, AutoTable) else model[0]
        raw = known.raw(matrix_of_inputs(known.description, inputs))
        return predictions(next(iter(known.members.values())), raw)


def _given(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    given = parameters.get("LightGBM") or {}
    if not isinstance(given, dict):
        raise ConfigError("spec.parameters.LightGBM must map names of LightGBM parameters to values")
    return given


def _within_budget(dataset: Dataset, context: Context) -> tuple[list[str], list[str]]:
    """Return the candidates that fit into the budget, and warnings. If necessary, the last candidates are left out."""
    auto = context.config.spec.auto or Auto()
    seconds = _SECONDS_PER_CELL * dataset.rows * len(dataset.features)
    budget = auto.budget_seconds or _BUDGET
    count = int(np.clip(budget // max(seconds, 1e-9), 1, len(PRESETS)))
    wanted = list(PRESETS)[:count]
    left_out = list(PRESETS)[count:]
    if not left_out:
        return wanted, []
    message = f"auto.budgetSeconds is too small for {', '.join(left_out)} (estimate: {seconds:.0f} s of one core each)"
    return wanted, [f"{message}; raise it to compare them too"]


def _try(dataset: Dataset, context: Context, name: str, begin: float, end: float) -> _Tried:
    """Fit a candidate to the training part, with early stopping on the validation part."""
    spec, parts = context.config.spec, parts_of(dataset)
    parameters = lightgbm_parameters.resolved(
        {**PRESETS[name], **_given(context.parameters)},
        spec.task,
        classes=len(dataset.classes),
        seed=(spec.split or Split()).seed,
        threads=threads_for(dataset, context.workers),
    )
    lightgbm_parameters.check_target(parameters, dataset.frame[dataset.target].to_numpy(), dataset.target)
    training = binned(dataset, parts.train, parameters)
    validation = binned(dataset, parts.validation, parameters, training)
    booster = fit(training, validation, parameters, Reporter(context, begin, end), dataset.origin.uri)
    rounds = booster.best_iteration or booster.current_iteration()
    raw = raw_predictions(booster, matrix_of(dataset, parts.validation), parameters["num_threads"])
    return _Tried(parameters, rounds, raw)


def _fitted(
    dataset: Dataset,
    context: Context,
    chosen: Mapping[str, _Tried],
    weights: Mapping[str, float],
    description: Description,
    rows: Positions,
    begin: float,
) -> AutoTable:
    """Fit the chosen candidates to some rows with their best numbers of rounds. ``begin`` is for the progress."""
    members, step = {}, 0.25 / len(chosen)
    for index, (name, one) in enumerate(chosen.items()):
        fixed = {**one.parameters, "num_iterations": one.rounds, "early_stopping_round": 0}
        reporter = Reporter(context, begin + index * step, begin + (index + 1) * step)
        booster = fit(binned(dataset, rows, fixed), None, fixed, reporter, dataset.origin.uri)
        members[name] = Model(booster, description)
    return AutoTable(members, tuple(weights.values()))


def _select(dataset: Dataset, context: Context, tried: list[_Tried]) -> Selection:
    """Compute the weights on the validation part. For classes, the error is that of the probabilities (Brier score)."""
    rows = parts_of(dataset).validation
    target = dataset.frame[dataset.target].to_numpy(dtype=np.float64)[rows]
    outputs = np.stack([one.raw for one in tried])
    squared = names.searched_metric(context.config.spec) in SQUARED
    if dataset.classes:
        squared = True
        outputs = np.stack([probabilities_of(one.raw) for one in tried])
        target = np.eye(len(dataset.classes))[target.astype(np.intp)]
    width = target[0].size if len(target) else 1
    count = max(1, min(_WINDOWS, len(rows)))
    window = np.repeat(np.arange(len(rows)) % count, width)
    outputs, target = outputs.reshape(len(tried), -1), target.reshape(-1)
    sizes = np.ones(len(target))
    return select(Windows(outputs, target, target, sizes, window, np.arange(count), squared))


def _leaderboard(tried: Mapping[str, _Tried], selection: Selection) -> pd.DataFrame:
    """Return the errors of the candidates on the validation part: see ``Evaluation.leaderboard``."""
    entries = [(ENSEMBLE, "", selection.loss, np.nan, 1.0, np.nan)]
    for index, name in enumerate(tried):
        entries.append((name, "", float(selection.losses[index]), np.nan, float(selection.common[index]), np.nan))
    table = pd.DataFrame(entries, columns=["candidate", "within", "windows", "holdout", "weight", "seconds"])
    return table.sort_values("windows", kind="stable", ignore_index=True)


def _importance(model: AutoTable) -> pd.DataFrame:
    """Return the weighted mean of the members' gains.

    Each is first divided by its sum, then multiplied by the common sum.
    """
    found = [importance_of(one).set_index("feature")["gain"] for one in model.members.values()]
    total = sum(weight * float(one.sum()) for weight, one in zip(model.weights, found, strict=True))
    parts = [weight * one / (one.sum() or 1.0) for weight, one in zip(model.weights, found, strict=True)]
    gains = pd.concat(parts, axis=1).sum(axis=1) * total
    return (
        gains.rename("gain")
        .rename_axis("feature")
        .reset_index()
        .sort_values("gain", ascending=False, ignore_index=True)
    )
