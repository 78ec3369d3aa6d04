"""LightGBM for regression and classification of one table.

The validation part decides early stopping and the threshold.

A model is two files. ``model.txt`` is in LightGBM's text format. ``model.json`` has the features in order, the values
of text features, the names of the classes, and the threshold.
"""

import dataclasses
import functools
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import lightgbm
import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_api.training import Split
from trainyard_api.wire import TrainerConfig
from trainyard_trainer.artifacts.layout import JUDGED
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.errors import DataError, Unsupported
from trainyard_trainer.evaluate import names
from trainyard_trainer.evaluate.thresholds import Cut
from trainyard_trainer.frameworks.base import GOLDEN_ROWS, Context, Evaluation, Golden, OnnxModel, Trained
from trainyard_trainer.frameworks.lightgbm import parameters as lightgbm_parameters
from trainyard_trainer.frameworks.lightgbm.fit import (
    Matrix,
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
from trainyard_trainer.frameworks.lightgbm.tunable import TabularTunable
from trainyard_trainer.frameworks.thresholds import check_classes, cut_for, note_of
from trainyard_trainer.search.tunable import Tunable

FORMAT: Final = "lightgbm-text"
MODEL_FILE: Final = "model.txt"
DESCRIPTION_FILE: Final = "model.json"
FILES: Final = (MODEL_FILE, DESCRIPTION_FILE)
PREDICTION: Final = "prediction"


@dataclass(frozen=True)
class Description:
    """The metadata of a LightGBM model.

    ``threshold`` is that of class 1 of two, the positive class. ``threshold_by`` describes how it was chosen.
    ``sentinels`` are numbers that mean a missing value, by feature.
    """

    target: str
    features: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]
    classes: tuple[str, ...]
    threshold: float | None = None
    threshold_by: str = ""
    sentinels: Mapping[str, float] = field(default_factory=dict)

    @functools.cached_property
    def codes(self) -> Mapping[str, Mapping[str, int]]:
        """For each text feature, the code of each of its values."""
        return {
            name: {value: number for number, value in enumerate(values)} for name, values in self.categories.items()
        }


@dataclass(frozen=True)
class Model:
    """A trained or loaded model."""

    booster: lightgbm.Booster
    description: Description


class LightGBMFramework:
    """Gradient boosted trees."""

    name = "LightGBM"
    format = FORMAT

    def check(self, config: TrainerConfig) -> None:
        """Check task, objective and parameters. LightGBM validates the values on a few synthetic rows."""
        if config.spec.task == "Forecast":
            raise Unsupported("the LightGBM framework for tables does not support task Forecast")
        names.check_metrics(config.spec)
        lightgbm_parameters.try_out(config.spec.parameters or {}, config.spec.task)
        lightgbm_parameters.check_space(config.spec)

    def tunable(self, dataset: Dataset, context: Context) -> Tunable | None:
        """Return the model for a parameter search, which is scored on the validation part."""
        return TabularTunable(dataset, context)

    def train(self, dataset: Dataset, context: Context) -> Trained:
        """Find the number of rounds and the threshold on the validation part, then fit the judged and the final model.

        The judged model is trained on the training and validation parts, the final one on all rows.
        """
        lightgbm.register_logger(logging.getLogger("lightgbm"))
        spec = context.config.spec
        check_classes(spec, dataset)
        parameters = lightgbm_parameters.resolved(
            context.parameters,
            spec.task,
            classes=len(dataset.classes),
            seed=(spec.split or Split()).seed,
            threads=threads_for(dataset, context.workers),
        )
        parts = parts_of(dataset)
        lightgbm_parameters.check_target(parameters, dataset.frame[dataset.target].to_numpy(), dataset.target)
        rounds, cut = _try(dataset, parameters, context)
        description = Description(
            dataset.target, dataset.features, dataset.categories, dataset.classes, sentinels=dataset.sentinels
        )
        if cut is not None:
            description = dataclasses.replace(description, threshold=cut.value, threshold_by=cut.why)
        known = np.sort(np.concatenate([parts.train, parts.validation]))
        fixed = {**parameters, "num_iterations": rounds, "early_stopping_round": 0}

        def fitted(rows: npt.NDArray[np.intp], begin: float, end: float, output: Path) -> Model:
            table = binned(dataset, rows, fixed)
            booster = fit(table, None, fixed, Reporter(context, begin, end), dataset.origin.uri)
            model = Model(booster, description)
            save_model(model, output)
            return model

        judged = fitted(known, 0.5, 0.75, context.output / JUDGED)
        model = fitted(np.arange(dataset.rows), 0.75, 1.0, context.output)
        stops_early = parameters["early_stopping_round"] > 0
        unfinished = (
            f"training used all {rounds} rounds without stopping early; "
            "a higher spec.parameters.num_iterations or learning_rate may give a better model"
        )
        return Trained(
            formats=(FORMAT,),
            files=(*FILES, *(f"{JUDGED}/{name}" for name in FILES)),
            model=model,
            judged=judged,
            parameters={**parameters, "best_iteration": rounds},
            warnings=(
                *((unfinished,) if stops_early and rounds >= parameters["num_iterations"] else ()),
                *((cut.warning,) if cut is not None and cut.warning else ()),
            ),
        )

    def evaluate(self, dataset: Dataset, trained: Trained, context: Context) -> Evaluation:
        """Evaluate on the test part, compared with the mean and the median, or with the share of each class."""
        model, judged = trained.model, trained.judged
        parts = parts_of(dataset)
        context.progress(0.0, f"judging {len(parts.test)} rows")
        raw = raw_predictions(judged.booster, matrix_of(dataset, parts.test), threads_for(dataset, context.workers))
        known = np.concatenate([parts.train, parts.validation])
        found = judge_rows(dataset, known, parts.test, raw, judged.description.threshold)
        golden = as_raw(dataset, parts.test[:GOLDEN_ROWS])
        context.progress(1.0, "judged", {name: found.metrics[name] for name in (names.SKILL,) if name in found.metrics})
        return Evaluation(
            metrics=found.metrics,
            table=found.table,
            golden=Golden(golden, self.predict(model, golden)),
            importance=importance_of(model),
            holdout=found.holdout,
            notes=(*note_of(dataset, model.description.threshold, model.description.threshold_by), *found.notes),
            baseline=found.baseline,
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
            threshold_by=fields.get("threshold_by", ""),  # older artifacts have neither this nor sentinels
            sentinels=fields.get("sentinels", {}),
        )
        return Model(lightgbm.Booster(model_file=folder / MODEL_FILE), description)

    def predict(self, model: Model, inputs: pd.DataFrame) -> pd.DataFrame:
        """Return predictions for raw rows.

        Parameters
        ----------
        inputs
            Frame with at least the model's features. Text features are text; unseen values count as missing.

        Returns
        -------
        ``prediction``, a number or the name of a class. For classes, also ``probability:<class>`` for each.

        Raises
        ------
        DataError
            If a feature is missing, or is text but must be a number.
        """
        rows = matrix_of_inputs(model.description, inputs)
        return predictions(model, raw_predictions(model.booster, rows, threads_to_predict(model.booster, rows)))

    def to_onnx(self, model: Model) -> OnnxModel:
        """Return the trees as ONNX. The class names and the threshold are added when its output is decoded."""
        from trainyard_trainer.frameworks.lightgbm.onnx import INPUT, converted

        def decode(outputs: list[Any]) -> pd.DataFrame:
            scores = np.asarray(outputs[0], dtype=np.float64)
            column = {0: 0, 2: 1}.get(len(model.description.classes))
            return predictions(model, scores if column is None else scores[:, column])

        def tensor(rows: pd.DataFrame) -> dict[str, npt.NDArray[Any]]:
            return {INPUT: matrix_of_inputs(model.description, rows).astype(np.float32)}

        return OnnxModel(converted(model.booster), tensor, decode)


def _try(dataset: Dataset, parameters: dict[str, Any], context: Context) -> tuple[int, Cut | None]:
    """Return the best number of rounds on the validation part, and with two classes also the best threshold."""
    parts = parts_of(dataset)
    training = binned(dataset, parts.train, parameters)
    booster = fit(
        training,
        binned(dataset, parts.validation, parameters, training),
        parameters,
        Reporter(context, 0.0, 0.5),
        dataset.origin.uri,
    )
    rounds = booster.best_iteration or booster.current_iteration()
    if dataset.positive_class is None:
        return rounds, None
    validation = raw_predictions(booster, matrix_of(dataset, parts.validation), parameters["num_threads"])
    return rounds, cut_for(context.config.spec, dataset, parts.validation, validation)


def predictions(model: Model, raw: npt.NDArray[np.float64]) -> pd.DataFrame:
    """Return the table for raw predictions: see ``LightGBMFramework.predict``."""
    classes = model.description.classes
    if not classes:
        return pd.DataFrame({PREDICTION: raw})
    probabilities = probabilities_of(raw)
    called = np.array(classes, dtype=object)[_called(model, probabilities)]
    columns = {f"probability:{name}": probabilities[:, i] for i, name in enumerate(classes)}
    return pd.DataFrame({PREDICTION: called, **columns})


def _called(model: Model, probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    if model.description.threshold is not None:
        return (probabilities[:, 1] >= model.description.threshold).astype(np.intp)
    return np.asarray(probabilities.argmax(axis=1), dtype=np.intp)


def save_model(model: Model, output: Path) -> None:
    """Write the files for :meth:`LightGBMFramework.load`."""
    output.mkdir(parents=True, exist_ok=True)
    model.booster.save_model(output / MODEL_FILE)
    (output / DESCRIPTION_FILE).write_text(
        json.dumps(dataclasses.asdict(model.description), indent=1, ensure_ascii=False) + "\n"
    )


def importance_of(model: Model) -> pd.DataFrame:
    """Return the total gain of the splits on each feature: see ``Evaluation.importance``."""
    gain = model.booster.feature_importance("gain")
    table = pd.DataFrame({"feature": model.description.features, "gain": gain})
    return table.sort_values("gain", ascending=False, ignore_index=True)


def as_raw(dataset: Dataset, rows: npt.NDArray[np.intp]) -> pd.DataFrame:
    """Return rows as a caller would send them, with text as text."""
    raw = dataset.frame.iloc[rows, : len(dataset.features)].reset_index(drop=True)
    return raw.astype(dict.fromkeys(dataset.categories, object))


def matrix_of_inputs(description: Description, inputs: pd.DataFrame) -> Matrix:
    """Return raw rows as a matrix, as ``matrix_of`` does for a dataset."""
    missing = [name for name in description.features if name not in inputs.columns]
    if missing:
        raise DataError(
            f"the input lacks the feature {missing[0]!r}; the model needs {', '.join(description.features)}"
        )
    matrix = np.empty((len(inputs), len(description.features)))
    for index, name in enumerate(description.features):
        if name in description.categories:
            known, present = description.codes[name], inputs[name].notna()
            codes = [
                known.get(str(value)) if is_present else None
                for value, is_present in zip(inputs[name], present, strict=True)
            ]
            matrix[:, index] = np.array(codes, dtype=np.float64)  # None becomes NaN
        else:
            matrix[:, index] = _numbers(inputs[name], name)
            if name in description.sentinels:
                matrix[matrix[:, index] == description.sentinels[name], index] = np.nan
    return matrix


def _numbers(column: "pd.Series[Any]", name: str) -> npt.NDArray[np.float64]:
    try:
        numbers = column if column.dtype.kind in "biuf" else pd.to_numeric(column)
        return numbers.to_numpy(dtype=np.float64, na_value=np.nan)
    except (ValueError, TypeError) as error:
        raise DataError(f"feature {name!r} of the input must hold numbers: {error}") from error
