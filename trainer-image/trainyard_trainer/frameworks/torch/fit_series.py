"""Train one network on the windows of all series. A window is a view of one long tensor of steps.

For the judged network, the newest part of each series before its holdout is used for early stopping. The final network
is trained on all rows for the best number of epochs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainyard_api.trainingjob import SeriesCount
from trainyard_trainer.artifacts.layout import JUDGED
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.errors import DataError
from trainyard_trainer.evaluate import names
from trainyard_trainer.evaluate.forecasts import judge
from trainyard_trainer.frameworks.base import Context, Trained
from trainyard_trainer.frameworks.forecast.checks import unused_columns
from trainyard_trainer.frameworks.forecast.quantiles import ErrorQuantiles, levels_of, no_windows
from trainyard_trainer.frameworks.torch import parameters as torch_parameters
from trainyard_trainer.frameworks.torch import windows as torch_windows
from trainyard_trainer.frameworks.torch.calendar import times_of
from trainyard_trainer.frameworks.torch.device import on_device
from trainyard_trainer.frameworks.torch.export import as_onnx, run_of, write_weights
from trainyard_trainer.frameworks.torch.fit_rows import LOSSES
from trainyard_trainer.frameworks.torch.material import Material
from trainyard_trainer.frameworks.torch.model import FORMATS, ForecastModel, write_description
from trainyard_trainer.frameworks.torch.networks import ForecastNetwork
from trainyard_trainer.frameworks.torch.parameters import ForecastParameters, Loss
from trainyard_trainer.frameworks.torch.training import Course, Watch, learn, watch_of

_MOST_VALIDATED: Final = 20_000
"""Maximum number of windows that evaluate an epoch. If there are more, evenly spread ones are used."""

_WINDOWS_AT_ONCE: Final = 4096


_Positions = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Start of each window in the long tensor, and the end of its valid targets there; shapes (windows,)."""


@dataclass(frozen=True)
class _Windows:
    """The positions of windows, on the device."""

    starts: Tensor
    limits: Tensor


class WindowsLesson:
    """All steps of all series in one tensor. A window is a view of a part."""

    def __init__(self, material: Material, loss: Loss, device: torch.device, seed: int) -> None:
        torch.manual_seed(seed)
        self.network = ForecastNetwork(material.description).to(device)
        self._length, self._horizon = material.description.length, material.description.horizon
        self._loss = LOSSES[loss]
        values, observed, features, train, validation = _lay_out(material)
        size = self._length + self._horizon
        regressors = len(material.description.regressor_scales)
        steps = torch.as_tensor(features).to(device)
        self._values = torch.as_tensor(values).to(device).unfold(0, size, 1)
        self._observed = torch.as_tensor(observed).to(device)[self._length :].unfold(0, self._horizon, 1)
        self._future = steps[self._length :].unfold(0, self._horizon, 1)
        self._past = steps[:, -regressors:].unfold(0, self._length, 1) if regressors else None
        self._train, self._validation = _on(train, device), _on(validation, device)
        self._positions = torch.arange(self._length, size, device=device)
        self.examples = len(train[0])

    def loss(self, examples: Tensor) -> Tensor:
        """Return the mean loss of some windows."""
        total, count = self._compare(self._train.starts[examples], self._train.limits[examples])
        return total / count

    def judge(self) -> float:
        """Return the loss on the validation part."""
        total, count = 0.0, 0.0
        parts = (self._validation.starts.split(_WINDOWS_AT_ONCE), self._validation.limits.split(_WINDOWS_AT_ONCE))
        for starts, limits in zip(*parts, strict=True):
            loss, seen = self._compare(starts, limits)
            total, count = total + float(loss), count + float(seen)
        return total / count

    def _compare(self, starts: Tensor, limits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sum of the losses and the number of their targets. Only targets with a row in the table count."""
        values = self._values[starts]
        counts = self._observed[starts] & (starts[:, None] + self._positions < limits[:, None])
        inputs = [values[:, : self._length], self._future[starts].transpose(1, 2)]
        if self._past is not None:
            inputs.append(self._past[starts].transpose(1, 2))
        outputs = self.network(*inputs)
        target = values[:, self._length :]
        return self._loss(outputs[counts], target[counts], reduction="sum"), counts.sum().clamp(min=1)


def train_series(dataset: Dataset, context: Context) -> Trained:
    """Train, and write the files of the model. Raises ConfigError, DataError, Interrupted, Unsupported."""
    parameters = torch_parameters.forecast(context.parameters)
    material = Material(dataset, context, parameters)
    whole = Material(dataset, context, parameters.of_length(material.description.length), whole=True)
    watches = watch_of(context, 0.0, 0.6, "judged model"), watch_of(context, 0.6, 1.0, "final model")

    def both(device: torch.device) -> tuple[WindowsLesson, Course, WindowsLesson]:
        judged, course = teach(material, context, parameters, lambda _: watches[0], device)
        final, _ = teach(whole, context, parameters, lambda _: watches[1], device, epochs=course.best)
        return judged, course, final

    work = on_device(parameters.device, context.config.spec.accelerator, both)
    lesson, course, final = work.made
    quantiles = _quantiles(material, run_of(lesson.network.cpu()), levels_of(context.config.spec))
    judged, judged_files = _saved(material, lesson, quantiles, context.output / JUDGED)
    model, files = _saved(whole, final, quantiles, context.output)
    written = parameters.of_length(material.description.length).model_dump(mode="json")
    return Trained(
        formats=FORMATS,
        files=(*files, *(f"{JUDGED}/{name}" for name in judged_files)),
        model=model,
        judged=judged,
        parameters={"frequency": dataset.frequency, **written, **course.numbers},
        series=SeriesCount(
            total=dataset.series_total,
            trained=len(dataset.series),
            fallback=0,
            failed=dataset.series_total - len(dataset.series),
        ),
        warnings=(*work.warnings, *course.warnings, *unused_columns(dataset)),
        device=work.device,
        tuned=context.tuned,
    )


def _saved(
    material: Material, lesson: WindowsLesson, quantiles: ErrorQuantiles, output: Path
) -> tuple[ForecastModel, tuple[str, ...]]:
    """Write a network with the ends of its training series. Return it with the names of its files."""
    network, series = lesson.network.cpu(), material.dataset.series
    contexts = {one.name: material.context(number, material.end(one)) for number, one in enumerate(series)}
    exported = as_onnx(network, _example(material))
    model = ForecastModel(material.description, contexts, run_of(network), exported, quantiles)
    weights = write_weights(network, output)
    return model, (weights, *write_description(model, output))


def _quantiles(material: Material, run: torch_windows.Run, levels: tuple[float, ...]) -> ErrorQuantiles:
    """Return the error quantiles on the rows that stopped the training, because the network was not fitted to them."""
    if not levels:
        return ErrorQuantiles()
    cuts = material.windows()
    if not cuts:
        raise no_windows(material.dataset.origin.uri)
    found = ErrorQuantiles.of(levels, material.horizon, material.forecasts(cuts, run), material.steps(cuts))
    return found.with_final_scales(material.dataset, material.frequency.season)


def score_series(
    dataset: Dataset, context: Context, given: Mapping[str, Any], report: Callable[[int, float], None]
) -> float:
    """Return the metric of a search on rolling origins. Raises TrainerError, and the errors of ``report``."""
    spec = context.config.spec
    parameters = torch_parameters.forecast(given)
    material = Material(dataset, context, parameters)
    cuts = material.folds()
    if not cuts:
        raise DataError("no series is long enough to compare parameters before its holdout; leave spec.search out")

    def metric(lesson: WindowsLesson) -> float:
        found = judge(material.forecasts(cuts, run_of(lesson.network))).metrics
        value = names.ranking_value(spec, found)
        if value is None:
            wanted = names.searched_metric(spec)
            raise DataError(f"{wanted} cannot be computed before the holdouts; choose another spec.objective.metric")
        return value

    def watching(lesson: WindowsLesson) -> Watch:
        return Watch(context.stop, lambda epoch, *_: report(epoch, metric(lesson)))

    work = on_device(
        parameters.device,
        context.config.spec.accelerator,
        lambda device: teach(material, context, parameters, watching, device),
    )
    return metric(work.made[0])


def teach(
    material: Material,
    context: Context,
    parameters: ForecastParameters,
    watching: Callable[[WindowsLesson], Watch],
    device: torch.device,
    epochs: int | None = None,
) -> tuple[WindowsLesson, Course]:
    """Train one network on one device. With ``epochs``, train for exactly this number."""
    lesson = WindowsLesson(material, parameters.loss, device, material.split.seed)
    decided = parameters.of_length(material.description.length)
    return lesson, learn(lesson, material.dataset, context, decided, watching(lesson), device, epochs)


def _lay_out(
    material: Material,
) -> tuple[torch_windows.Floats32, npt.NDArray[np.bool_], torch_windows.Floats32, _Positions, _Positions]:
    """Return values, masks of observed steps, and features of all steps; then the windows for training and for
    validation.

    Before each series its first step is repeated, and after it its last one, so that windows can start early and end
    late. Repeated steps are never targets.
    """
    length, horizon = material.description.length, material.description.horizon
    calendar = material.description.calendar
    values, observed, features = [], [], []
    train: list[_Positions] = []
    validation: list[_Positions] = []
    begin = 0
    for number, one in enumerate(material.dataset.series):
        grid = material.grid(number, material.end(one))
        steps = len(grid.values)
        positions = np.clip(np.arange(-(length - 1), steps + horizon), 0, steps - 1)
        real = np.arange(-(length - 1), steps + horizon)
        values.append(grid.values[positions])
        observed.append(grid.observed[positions] & (real >= 0) & (real < steps))
        times = times_of(grid.first, real, material.frequency)
        features.append(np.column_stack([calendar.features(times), grid.regressors[positions]]))
        cut = steps if material.whole else max(1, steps - min(material.validated(one), steps // 2))
        for windows, origins, limit in (
            (train, _origins(min(length, max(1, cut // 3)), cut, horizon), cut),
            (validation, _origins(min(cut, steps - 1), steps, horizon), steps),
        ):
            starts = begin + origins - 1
            windows.append((starts, np.full(len(starts), begin + length - 1 + limit, dtype=np.int64)))
        begin += len(positions)
    every = max(1, -(-sum(len(starts) for starts, _ in validation) // _MOST_VALIDATED))
    thinned = [(starts[::every], limits[::every]) for starts, limits in validation]
    return np.concatenate(values), np.concatenate(observed), np.concatenate(features), _joined(train), _joined(thinned)


def _origins(first: int, limit: int, horizon: int) -> npt.NDArray[np.int64]:
    """Return the numbers of steps at which the forecast of a window starts: whole horizons if they fit, else one
    shorter one.
    """
    return np.arange(min(first, limit - 1), max(limit - horizon, min(first, limit - 1)) + 1, dtype=np.int64)


def _joined(windows: list[_Positions]) -> _Positions:
    starts, limits = zip(*windows, strict=True)
    return np.concatenate(starts), np.concatenate(limits)


def _on(positions: _Positions, device: torch.device) -> _Windows:
    return _Windows(*(torch.as_tensor(one).to(device) for one in positions))


def _example(material: Material) -> dict[str, npt.NDArray[Any]]:
    """Return the tensors of two forecasts, in the input order of the network."""
    description = material.description
    rows, regressors = 2, len(description.regressor_scales)
    known = description.calendar.columns + regressors
    tensors = {
        torch_windows.WINDOW: np.zeros((rows, description.length), dtype=np.float32),
        torch_windows.FUTURE: np.zeros((rows, description.horizon, known), dtype=np.float32),
    }
    if regressors:
        tensors[torch_windows.PAST] = np.zeros((rows, description.length, regressors), dtype=np.float32)
    return tensors
