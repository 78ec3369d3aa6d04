"""LightGBM: regression and classification on one table; the validation part tells when to stop and where to cut.

The model is two files: ``model.txt``, LightGBM's own text, and ``model.json``, what a caller must know beside it: the
features in order, the values of text features, the names of the classes, and the threshold.
"""

import dataclasses
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import lightgbm
import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_api.training import Split
from trainyard_api.wire import TrainerConfig
from trainyard_trainer.errors import ConfigError, DataError, Interrupted, Unsupported
from trainyard_trainer.evaluate import metrics, names
from trainyard_trainer.evaluate.rows import judge_classes, judge_numbers
from trainyard_trainer.frameworks import lightgbm_parameters
from trainyard_trainer.frameworks.base import (
    GOLDEN_ROWS,
    Context,
    Dataset,
    Evaluation,
    Golden,
    OnnxModel,
    Parts,
    Trained,
)

FORMAT: Final = "lightgbm-text"
MODEL_FILE: Final = "model.txt"
DESCRIPTION_FILE: Final = "model.json"
PREDICTION: Final = "prediction"

_ROUNDS_PER_REPORT: Final = 10
_CELLS_PER_THREAD: Final = 100_000
"""36,000 cells took 0.06 s with one thread and with two, and 18 s with two on a node with other work."""

_NOT_IN_NAMES: Final = re.compile(r'[\s\[\]{}":,]+')
"""LightGBM refuses or rewrites these in feature names."""


@dataclass(frozen=True)
class Description:
    """What belongs to a LightGBM model beside its trees. ``threshold`` is that of class 1 of two."""

    target: str
    features: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]
    classes: tuple[str, ...]
    threshold: float | None = None


@dataclass(frozen=True)
class Model:
    """A trained or loaded model."""

    booster: lightgbm.Booster
    description: Description


class LightGBMFramework:
    """Gradient boosted trees."""

    name = "LightGBM"

    def check(self, config: TrainerConfig) -> None:
        """Judge task, objective and parameters; LightGBM itself tries the values on a few made-up rows."""
        if config.spec.task == "Forecast":
            raise Unsupported("framework LightGBM with task Forecast comes with a later release; use Prophet")
        names.check_metrics(config.spec)
        lightgbm_parameters.try_out(config.spec.parameters or {}, config.spec.task)

    def train(self, dataset: Dataset, context: Context) -> Trained:
        """Find the number of rounds and the threshold on the validation part, then fit on both parts together.

        The second fit gives the model a third more rows (with the default split) for the time of one more fit.
        """
        lightgbm.register_logger(logging.getLogger("lightgbm"))
        spec = context.config.spec
        if dataset.classes:
            names.check_metrics(spec, len(dataset.classes))
        parameters = lightgbm_parameters.resolved(
            context.parameters,
            spec.task,
            classes=len(dataset.classes),
            seed=(spec.split or Split()).seed,
            threads=_threads(dataset, context.workers),
        )
        parts = _parts(dataset)
        rounds, description = _try(dataset, parameters, context)
        known = np.sort(np.concatenate([parts.train, parts.validation]))
        final = {**parameters, "num_iterations": rounds, "early_stopping_round": 0}
        model = Model(_fit(dataset, known, None, final, context), description)
        _save(model, context.output)
        unfinished = (
            f"training used all {rounds} rounds without stopping early; "
            "a higher spec.parameters.num_iterations or learning_rate may do better"
        )
        return Trained(
            formats=(FORMAT,),
            files=(MODEL_FILE, DESCRIPTION_FILE),
            model=model,
            parameters={**parameters, "best_iteration": rounds},
            warnings=(unfinished,) if rounds >= parameters["num_iterations"] else (),
        )

    def evaluate(self, dataset: Dataset, trained: Trained, context: Context) -> Evaluation:
        """Judge on the test part, beside the mean and the median, or the share of each class."""
        model: Model = trained.model
        parts = _parts(dataset)
        target = dataset.frame[dataset.target].to_numpy(dtype=np.float64)
        context.progress(0.0, f"judging {len(parts.test)} rows")
        raw = _raw_predictions(model, dataset.frame.iloc[parts.test])
        known = target[np.concatenate([parts.train, parts.validation])]
        if dataset.classes:
            found = judge_classes(
                target[parts.test].astype(np.intp),
                _probabilities(raw),
                known.astype(np.intp),
                dataset.classes,
                model.description.threshold,
            )
        else:
            found = judge_numbers(target[parts.test], raw, known)
        context.progress(1.0, "judged", {name: found.metrics[name] for name in (names.SKILL,) if name in found.metrics})
        return Evaluation(
            metrics=found.metrics,
            table=found.table,
            golden=Golden(_as_raw(dataset, parts.test[:GOLDEN_ROWS]), _answers(model, raw[:GOLDEN_ROWS])),
            importance=_importance(model),
            holdout=found.holdout,
            notes=found.notes,
        )

    def load(self, folder: Path) -> Model:
        """Read ``model.txt`` and ``model.json``."""
        fields = json.loads((folder / DESCRIPTION_FILE).read_text())
        description = Description(
            target=fields["target"],
            features=tuple(fields["features"]),
            categories={name: tuple(values) for name, values in fields["categories"].items()},
            classes=tuple(fields["classes"]),
            threshold=fields["threshold"],
        )
        return Model(lightgbm.Booster(model_file=folder / MODEL_FILE), description)

    def predict(self, model: Model, inputs: pd.DataFrame) -> pd.DataFrame:
        """Answer raw rows.

        Parameters
        ----------
        inputs
            At least the model's features; text features as text, unseen values count as missing.

        Returns
        -------
        ``prediction``, a number or the name of a class, and for classes ``probability:<class>`` each.

        Raises
        ------
        DataError
            If a feature is missing, or holds text where the model needs numbers.
        """
        return _answers(model, _raw_predictions(model, _typed(model.description, inputs)))

    def to_onnx(self, model: Model) -> OnnxModel:
        """Return the trees as ONNX; what they call a class, and from which probability on, is added to its answers."""
        from trainyard_trainer.frameworks.lightgbm_onnx import INPUT, as_tensor, converted

        def answer(outputs: list[Any]) -> pd.DataFrame:
            told = np.asarray(outputs[0], dtype=np.float64)
            column = {0: 0, 2: 1}.get(len(model.description.classes))
            return _answers(model, told if column is None else told[:, column])

        return OnnxModel(
            converted(model.booster), lambda rows: {INPUT: as_tensor(_typed(model.description, rows))}, answer
        )


def _threads(dataset: Dataset, workers: int) -> int:
    """Return how many threads pay off: on small tables they wait for each other, and on a busy node for very long."""
    return max(1, min(workers, dataset.rows * len(dataset.features) // _CELLS_PER_THREAD))


def _parts(dataset: Dataset) -> Parts:
    if dataset.parts is None:
        raise ConfigError("LightGBM needs rows that are split into parts; use task Regression or Classification")
    return dataset.parts


def _try(dataset: Dataset, parameters: dict[str, Any], context: Context) -> tuple[int, Description]:
    """Return the number of rounds, and the threshold in a description, that suit the validation part."""
    parts = _parts(dataset)
    description = Description(dataset.target, dataset.features, dataset.categories, dataset.classes)
    trial = Model(_fit(dataset, parts.train, parts.validation, parameters, context), description)
    rounds = trial.booster.best_iteration or trial.booster.current_iteration()
    return rounds, _with_threshold(trial, dataset)


def _fit(
    dataset: Dataset,
    rows: npt.NDArray[np.intp],
    judged_by: npt.NDArray[np.intp] | None,
    parameters: dict[str, Any],
    context: Context,
) -> lightgbm.Booster:
    """Fit on ``rows``; with ``judged_by``, stop when these rows no longer get better."""
    plain_names = _feature_names(dataset.features)
    target = dataset.frame[dataset.target].to_numpy()

    def part(of: npt.NDArray[np.intp], reference: lightgbm.Dataset | None = None) -> lightgbm.Dataset:
        frame = dataset.frame.iloc[of, : len(dataset.features)]  # the features stand first; one copy, not two
        # Plain names here too: LightGBM looks its text columns up by the names of the frame.
        frame.columns = pd.Index(plain_names)
        return lightgbm.Dataset(frame, target[of], reference=reference, params=parameters)

    training = part(rows)
    valid = None if judged_by is None else [part(judged_by, training)]
    stage = (0.0, 0.6) if judged_by is not None else (0.6, 1.0)
    try:
        return lightgbm.train(
            parameters,
            training,
            valid_sets=valid,
            callbacks=[_Reporter(context, *stage)],
            keep_training_booster=True,  # else it is written as text and read back
        )
    except lightgbm.basic.LightGBMError as error:
        raise ConfigError(
            f"spec.parameters: LightGBM cannot train with them on {dataset.origin.uri}: {error}"
        ) from error


class _Reporter:
    """A LightGBM callback: tells progress, and ends the training when the pod must stop."""

    before_iteration = False
    order = 0

    def __init__(self, context: Context, begin: float, end: float) -> None:
        self._context, self._begin, self._end = context, begin, end

    def __call__(self, state: Any) -> None:
        if self._context.stop():
            raise Interrupted(f"stopped in round {state.iteration}; the next attempt starts again")
        if state.iteration % _ROUNDS_PER_REPORT == 0:
            loss = {name: float(value) for _, name, value, _ in state.evaluation_result_list}
            done = (state.iteration - state.begin_iteration) / (state.end_iteration - state.begin_iteration)
            self._context.progress(self._begin + done * (self._end - self._begin), f"round {state.iteration}", loss)


def _feature_names(features: tuple[str, ...]) -> list[str]:
    """Return names that LightGBM takes as they are, all different. The real ones stand in ``model.json``."""
    taken: dict[str, None] = {}
    for position, feature in enumerate(features):
        name = _NOT_IN_NAMES.sub("_", feature)
        taken[f"{name}_{position}" if name in taken else name] = None
    return list(taken)


def _raw_predictions(model: Model, frame: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Return numbers of shape (rows,), or for three classes and more probabilities of shape (rows, classes)."""
    raw = model.booster.predict(frame[list(model.description.features)])
    return np.asarray(raw, dtype=np.float64)


def _answers(model: Model, raw: npt.NDArray[np.float64]) -> pd.DataFrame:
    """Return what a caller gets for raw predictions: see ``LightGBMFramework.predict``."""
    classes = model.description.classes
    if not classes:
        return pd.DataFrame({PREDICTION: raw})
    probabilities = _probabilities(raw)
    called = np.array(classes, dtype=object)[_called(model, probabilities)]
    columns = {f"probability:{name}": probabilities[:, i] for i, name in enumerate(classes)}
    return pd.DataFrame({PREDICTION: called, **columns})


def _probabilities(raw: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    # Objective multiclassova asks each class on its own, and its answers do not sum up to 1.
    return np.column_stack([1 - raw, raw]) if raw.ndim == 1 else raw / raw.sum(axis=1, keepdims=True)


def _called(model: Model, probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    if model.description.threshold is not None:
        return (probabilities[:, 1] >= model.description.threshold).astype(np.intp)
    return np.asarray(probabilities.argmax(axis=1), dtype=np.intp)


def _with_threshold(trial: Model, dataset: Dataset) -> Description:
    """Describe the model with the threshold that suits the validation part, which the trial has not learned from."""
    if len(dataset.classes) != 2:
        return trial.description
    rows = dataset.frame.iloc[_parts(dataset).validation]
    chosen = metrics.best_threshold(rows[dataset.target].to_numpy(dtype=np.intp), _raw_predictions(trial, rows))
    return dataclasses.replace(trial.description, threshold=chosen)


def _save(model: Model, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    model.booster.save_model(output / MODEL_FILE)
    (output / DESCRIPTION_FILE).write_text(
        json.dumps(dataclasses.asdict(model.description), indent=1, ensure_ascii=False) + "\n"
    )


def _importance(model: Model) -> pd.DataFrame:
    gain = model.booster.feature_importance("gain")
    table = pd.DataFrame({"feature": model.description.features, "gain": gain})
    return table.sort_values("gain", ascending=False, ignore_index=True)


def _as_raw(dataset: Dataset, rows: npt.NDArray[np.intp]) -> pd.DataFrame:
    """Return rows as a user would send them: text as text."""
    raw = dataset.frame.iloc[rows, : len(dataset.features)].reset_index(drop=True)
    return raw.astype(dict.fromkeys(dataset.categories, object))


def _typed(description: Description, inputs: pd.DataFrame) -> pd.DataFrame:
    missing = [name for name in description.features if name not in inputs.columns]
    if missing:
        raise DataError(
            f"the input lacks the feature {missing[0]!r}; the model needs {', '.join(description.features)}"
        )
    columns: dict[str, pd.Series] = {}
    for name in description.features:
        if name in description.categories:
            text = inputs[name].map(str, na_action="ignore").astype(object)
            columns[name] = pd.Series(pd.Categorical(text, categories=list(description.categories[name])))
        else:
            try:
                columns[name] = pd.to_numeric(inputs[name]).astype("float64").reset_index(drop=True)
            except (ValueError, TypeError) as error:
                raise DataError(f"feature {name!r} of the input must hold numbers: {error}") from error
    return pd.DataFrame(columns)
