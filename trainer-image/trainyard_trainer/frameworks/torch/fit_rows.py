"""Train a network on a table. The validation part decides early stopping and the threshold."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from trainyard_api.training import Split
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_trainer.artifacts.layout import JUDGED
from trainyard_trainer.data.dataset import Dataset, Parts
from trainyard_trainer.errors import ConfigError, DataError
from trainyard_trainer.evaluate import names
from trainyard_trainer.evaluate.rows import judge_classes, judge_numbers
from trainyard_trainer.evaluate.thresholds import Cut
from trainyard_trainer.frameworks.base import Context, Trained
from trainyard_trainer.frameworks.thresholds import check_classes, cut_for
from trainyard_trainer.frameworks.torch import parameters as torch_parameters
from trainyard_trainer.frameworks.torch import rows as torch_rows
from trainyard_trainer.frameworks.torch.device import on_device
from trainyard_trainer.frameworks.torch.export import Probabilities, as_onnx, run_of, write_weights
from trainyard_trainer.frameworks.torch.model import FORMATS, TabularModel, write_description
from trainyard_trainer.frameworks.torch.networks import TabularNetwork
from trainyard_trainer.frameworks.torch.parameters import Loss, TabularParameters
from trainyard_trainer.frameworks.torch.training import Course, Watch, learn, watch_of

LOSSES: Final[Mapping[Loss, Callable[..., Tensor]]] = {
    "mse": functional.mse_loss,
    "mae": functional.l1_loss,
    "huber": functional.smooth_l1_loss,
}


@dataclass(frozen=True)
class Taught:
    """A trained network, and the course of its training."""

    lesson: "RowsLesson"
    course: Course


class RowsLesson:
    """All rows on the device, selected by number. A table in memory needs no data loader."""

    def __init__(
        self,
        dataset: Dataset,
        description: torch_rows.Description,
        loss: Loss,
        device: torch.device,
        seed: int,
        rows: npt.NDArray[np.intp],
    ) -> None:
        torch.manual_seed(seed)
        self.network = TabularNetwork(description).to(device)
        self.description = description
        parts = parts_of(dataset)
        self.examples = len(rows)
        self._loss = LOSSES[loss]
        self._train = _tensors(dataset, description, rows, device)
        self._validation = _tensors(dataset, description, parts.validation, device)
        self.judged: Tensor = torch.empty(0)

    def loss(self, examples: Tensor) -> Tensor:
        """Return the mean loss of some rows."""
        inputs, target = self._train
        return self._compare(self.network(*(tensor[examples] for tensor in inputs)), target[examples])

    def judge(self) -> float:
        """Return the loss on the validation part, and keep the outputs for it."""
        inputs, target = self._validation
        self.judged = self.network(*inputs)
        return float(self._compare(self.judged, target))

    def last_outputs(self) -> npt.NDArray[np.float64]:
        """Return the last outputs for the validation part: numbers or probabilities."""
        outputs = self.judged.detach()
        if self.description.classes:
            return torch_rows.probabilities(torch.softmax(outputs, dim=1).cpu().numpy())
        return np.asarray(outputs.cpu().numpy(), dtype=np.float64)

    def _compare(self, outputs: Tensor, target: Tensor) -> Tensor:
        if self.description.classes:
            return functional.cross_entropy(outputs, target)
        return self._loss(outputs[:, 0], target)


def train_rows(dataset: Dataset, context: Context) -> Trained:
    """Train, and write the files of the model. Raises ConfigError, DataError, Interrupted, Unsupported."""
    spec = context.config.spec
    check_classes(spec, dataset)
    parameters = torch_parameters.tabular(context.parameters)
    watches = watch_of(context, 0.0, 0.6, "judged model"), watch_of(context, 0.6, 1.0, "final model")

    def both(device: torch.device) -> tuple[Taught, Taught]:
        judged = teach(dataset, context, parameters, lambda _: watches[0], device)
        best = judged.course.best
        return judged, teach(dataset, context, parameters, lambda _: watches[1], device, epochs=best)

    work = on_device(parameters.device, spec.accelerator, both)
    first, final = work.made
    course, cut = first.course, _cut(dataset, first.lesson, spec)
    judged, judged_files = _saved(dataset, first.lesson, cut, context.output / JUDGED)
    model, files = _saved(dataset, final.lesson, cut, context.output)
    return Trained(
        formats=FORMATS,
        files=(*files, *(f"{JUDGED}/{name}" for name in judged_files)),
        model=model,
        judged=judged,
        parameters={**parameters.model_dump(mode="json"), **course.numbers},
        warnings=(*work.warnings, *course.warnings, *((cut.warning,) if cut is not None and cut.warning else ())),
        device=work.device,
        tuned=context.tuned,
    )


def _saved(dataset: Dataset, lesson: RowsLesson, cut: Cut | None, output: Path) -> tuple[TabularModel, tuple[str, ...]]:
    """Write a network. Return it with the names of its files."""
    description = lesson.description
    if cut is not None:
        description = dataclasses.replace(description, threshold=cut.value, threshold_by=cut.why)
    network = (Probabilities(lesson.network) if dataset.classes else lesson.network).cpu()
    example = torch_rows.tensors_of(description, dataset.frame.iloc[:2])
    weights = write_weights(lesson.network, output)
    model = TabularModel(description, run_of(network), as_onnx(network, example))
    return model, (weights, *write_description(model, output))


def score_rows(
    dataset: Dataset, context: Context, given: Mapping[str, Any], report: Callable[[int, float], None]
) -> float:
    """Return the metric of a search on the validation part. Raises TrainerError, and the errors of ``report``."""
    spec = context.config.spec
    parameters = torch_parameters.tabular(given)

    def watching(lesson: RowsLesson) -> Watch:
        return Watch(context.stop, lambda epoch, *_: report(epoch, _metric(dataset, lesson, spec)))

    work = on_device(
        parameters.device,
        context.config.spec.accelerator,
        lambda device: teach(dataset, context, parameters, watching, device),
    )
    return _metric(dataset, work.made.lesson, spec)


def teach(
    dataset: Dataset,
    context: Context,
    parameters: TabularParameters,
    watching: Callable[[RowsLesson], Watch],
    device: torch.device,
    epochs: int | None = None,
) -> Taught:
    """Train one network on one device: on the training part, or with ``epochs`` on all rows for this number of
    epochs.
    """
    seed = (context.config.spec.split or Split()).seed
    rows = parts_of(dataset).train if epochs is None else np.arange(dataset.rows)
    lesson = RowsLesson(dataset, describe(dataset, parameters, rows), parameters.loss, device, seed, rows)
    course = learn(lesson, dataset, context, parameters, watching(lesson), device, epochs)
    with torch.inference_mode():
        lesson.judge()
    return Taught(lesson, course)


def describe(dataset: Dataset, parameters: TabularParameters, rows: npt.NDArray[np.intp]) -> torch_rows.Description:
    """Return the metadata with scales measured on the training rows."""
    frame = dataset.frame.iloc[rows]
    numbers = [name for name in dataset.features if name not in dataset.categories]
    target = None if dataset.classes else torch_rows.Scale.of(frame[dataset.target].to_numpy(dtype=np.float64))
    return torch_rows.Description(
        target=dataset.target,
        features=dataset.features,
        categories=dataset.categories,
        sentinels=dataset.sentinels,
        classes=dataset.classes,
        scales={name: torch_rows.Scale.of(frame[name].to_numpy(dtype=np.float64, na_value=np.nan)) for name in numbers},
        target_scale=target,
        hidden=parameters.hidden,
        dropout=parameters.dropout,
    )


def parts_of(dataset: Dataset) -> Parts:
    """Return the split of a table. Raises ConfigError."""
    if dataset.parts is None:
        raise ConfigError("Torch needs a table with a split for this task")
    return dataset.parts


def _tensors(
    dataset: Dataset, description: torch_rows.Description, rows: npt.NDArray[np.intp], device: torch.device
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Return the input tensors of these rows, and their targets."""
    frame = dataset.frame.iloc[rows]
    inputs = tuple(torch.as_tensor(tensor).to(device) for tensor in torch_rows.tensors_of(description, frame).values())
    target = frame[dataset.target].to_numpy(dtype=np.float64)
    if description.target_scale is None:
        return inputs, torch.as_tensor(target.astype(np.int64)).to(device)
    return inputs, torch.as_tensor(description.target_scale.standardised(target).astype(np.float32)).to(device)


def _cut(dataset: Dataset, lesson: RowsLesson, spec: TrainingJobSpec) -> Cut | None:
    """Return the best threshold on the validation part, to which the weights were not fitted."""
    if dataset.positive_class is None:
        return None
    return cut_for(spec, dataset, parts_of(dataset).validation, lesson.last_outputs()[:, 1])


def _metric(dataset: Dataset, lesson: RowsLesson, spec: TrainingJobSpec) -> float:
    parts = parts_of(dataset)
    target = dataset.frame[dataset.target].to_numpy(dtype=np.float64)
    actual, known = target[parts.validation], target[parts.train]
    outputs = lesson.last_outputs()
    if lesson.description.target_scale is not None:
        scale = lesson.description.target_scale
        found = judge_numbers(actual, outputs[:, 0] * scale.spread + scale.mean, known).metrics
    else:
        actual_classes, known_classes = actual.astype(np.intp), known.astype(np.intp)
        cut = _cut(dataset, lesson, spec)
        threshold = None if cut is None else cut.value
        found = judge_classes(actual_classes, outputs, known_classes, dataset.classes, threshold).metrics
    value = names.ranking_value(spec, found)
    if value is None:
        wanted = names.searched_metric(spec)
        raise DataError(f"{wanted} cannot be computed on the validation part; choose another spec.objective.metric")
    return value
