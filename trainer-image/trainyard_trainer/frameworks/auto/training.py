"""One training of Auto, from the plan and the comparison to the files."""

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import numpy as np
import pandas as pd

from trainyard_api.training import Auto, Framework, Split
from trainyard_api.training import Candidate as Name
from trainyard_api.trainingjob import SeriesCount
from trainyard_api.wire import TrainerConfig
from trainyard_trainer.artifacts.layout import JUDGED
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.errors import ConfigError, DataError
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.evaluate.names import searched_metric
from trainyard_trainer.frameworks.auto.budget import Plan, plan_of
from trainyard_trainer.frameworks.auto.candidate import Candidate, candidate_of
from trainyard_trainer.frameworks.auto.model import AutoModel, load_members
from trainyard_trainer.frameworks.base import Context, ForecastFramework, Trained
from trainyard_trainer.frameworks.ensemble import CLEARLY_WORSE, Selection, Windows, select
from trainyard_trainer.frameworks.forecast.baseline import Baseline
from trainyard_trainer.frameworks.forecast.columns import Columns
from trainyard_trainer.frameworks.forecast.ends import Ends
from trainyard_trainer.frameworks.forecast.quantiles import ErrorQuantiles, levels_of, no_windows
from trainyard_trainer.frameworks.forecast.rows import Rows, Unit
from trainyard_trainer.frameworks.forecast.windows import origins_wanted, sizes_of, spread_series, windows_of
from trainyard_trainer.frameworks.registry import framework_named

FORMAT: Final = "auto"
ENSEMBLE: Final = "all together"

_ROWS_PER_JUDGED: Final = 3
_DECIMALS: Final = 4
_TRIED_FIRST: Final = frozenset({"Prophet"})
_MANY_SERIES: Final = 60
_SERIES_TRIED: Final = 25
"""With many series, an expensive candidate is first tried on this many. If it is clearly worse there, it is dropped."""
_REACH: Final = 3.0
"""Errors of statistical methods, trees and Prophet differ in kind: see ``ensemble.select``.

On 13 single series, the mean of all candidates within 3 times the best had a 6 % smaller error than selection alone.
"""


@dataclass(frozen=True)
class Fitted:
    """The final model, the judged model's forecasts of the holdouts, and the leaderboard."""

    kept: AutoModel
    rows: Rows
    forecasts: Floats
    leaderboard: pd.DataFrame


@dataclass(frozen=True)
class Compared:
    """The results of the comparison. Candidates are by name, in the order of the plan.

    Attributes
    ----------
    windows
        Forecasts of each candidate for the windows; shape (rows,).
    selection
        ``None`` if no series is long enough for a window.
    """

    candidates: Mapping[Name, Candidate]
    windows: Mapping[Name, Floats]
    selection: Selection | None

    def weights(self, series: int) -> Floats:
        """Return the weights for each series; shape (series, names).

        Without windows, the first candidate is used alone.
        """
        if self.selection is None:
            return np.tile(np.eye(len(self.windows))[0], (series, 1))
        return np.stack([self.selection.weights(number) for number in range(series)])


class AutoTraining:
    """The training of one job."""

    def __init__(self, dataset: Dataset, context: Context) -> None:
        spec = context.config.spec
        if spec.forecast is None:
            raise AssertionError("check() requires spec.forecast")
        self._dataset, self._context, self._spec = dataset, context, spec
        self._horizon = spec.forecast.horizon
        baseline = Baseline.chosen(dataset, spec)
        self._rows = Rows.of(dataset, baseline.frequency, (), baseline)
        asked = spec.split.folds if spec.split is not None else 2
        self._folds = origins_wanted(dataset, self._horizon, asked, _ROWS_PER_JUDGED)
        self._warnings: list[str] = []
        self._tried: dict[str, tuple[float, float]] = {}

    def train(self) -> Trained:
        """Write both models, and return them."""
        dataset = self._dataset
        plan = self._plan()
        units = windows_of(self._rows, self._horizon, self._folds, spread_series(dataset))
        found = self._compare(plan, units)
        weights = found.weights(len(dataset.series))
        used = {name: index for index, name in enumerate(found.windows) if weights[:, index].any()}
        trained: dict[Name, Trained] = {}
        held: dict[Name, Floats] = {}
        for name in used:
            trained[name], held[name] = found.candidates[name].train()
        weights = weights[:, list(used.values())]
        quantiles = self._quantiles(units, found)
        rows = np.repeat(weights, [one.holdout for one in dataset.series], axis=0)
        forecasts = np.sum([rows[:, index] * one for index, one in enumerate(held.values())], axis=0)
        output = self._context.output
        files = [name for member, one in trained.items() for name in _gathered(output, member, one.files)]
        kept = self._model(tuple(trained), output, weights, quantiles, "stop")
        judged = self._model(tuple(trained), output / JUDGED, weights, quantiles, "split")
        files += kept.save(output)
        files += [f"{JUDGED}/{name}" for name in judged.save(output / JUDGED)]
        return self._reported(
            Trained(
                formats=(FORMAT,),
                files=tuple(files),
                model=Fitted(kept, self._rows, forecasts, self._leaderboard(found, held, forecasts)),
                parameters=self._parameters(trained, weights),
                judged=judged,
            ),
            trained,
        )

    # ---- within ------------------------------------------------------------------------------------------------------

    def _plan(self) -> Plan:
        stats = self._context.parameters.get("StatsForecast") or {}
        plan = plan_of(self._dataset, self._spec.auto or Auto(), stats, self._folds)
        if plan.left_out:
            reported = ", ".join(f"{name} ({seconds:.0f} s)" for name, seconds in plan.left_out.items())
            self._warnings.append(
                f"auto.budgetSeconds is too small for {reported} (estimated seconds of one core); raise it to compare "
                "them too"
            )
        return plan

    def _compare(self, plan: Plan, units: Sequence[Unit]) -> Compared:
        """Forecast the windows with each candidate. A candidate that fails is left out, with a warning."""
        candidates: dict[Name, Candidate] = {}
        window_forecasts: dict[Name, Floats] = {}
        for index, name in enumerate(plan.names):
            try:
                context = self._context_of(name, index / len(plan.names), (index + 1) / len(plan.names))
                if (
                    name in _TRIED_FIRST
                    and units
                    and window_forecasts
                    and not self._is_worth_more(name, context, units, window_forecasts)
                ):
                    continue
                candidates[name] = candidate_of(name, self._dataset, context, plan.methods)
                window_forecasts[name] = candidates[name].windows(units) if units else np.empty(0)
            except (ConfigError, DataError) as error:
                self._warnings.append(f"{name} is left out: {error}")
        if not window_forecasts:
            raise DataError(f"{self._dataset.origin.uri}: no candidate can be trained: {'; '.join(self._warnings)}")
        selection = select(self._windows(units, list(window_forecasts.values())), _REACH) if units else None
        return Compared(candidates, window_forecasts, selection)

    def _is_worth_more(
        self, name: Name, context: Context, units: Sequence[Unit], window_forecasts: Mapping[Name, Floats]
    ) -> bool:
        """Try an expensive candidate on some of many series.

        Return whether it is not clearly worse there than the best.
        """
        with_windows = sorted({unit.series for unit in units})
        if len(with_windows) < _MANY_SERIES:
            return True
        chosen = [with_windows[at] for at in np.linspace(0, len(with_windows) - 1, _SERIES_TRIED).round().astype(int)]
        number_of = {number: at for at, number in enumerate(chosen)}
        names = {self._dataset.series[number].name for number in chosen}
        output = self._context.work_dir / f"tried-{name}"
        output.mkdir(exist_ok=True)
        context = dataclasses.replace(context, output=output)
        candidate = candidate_of(name, self._dataset.part(names.__contains__), context, ())
        own_units = [unit for unit in units if unit.series in number_of]
        own = candidate.windows([dataclasses.replace(unit, series=number_of[unit.series]) for unit in own_units])
        rows = np.array([unit.series in number_of for unit in units])[self._rows.positions(units)[0]]
        windows = self._windows(own_units, [own, *(one[rows] for one in window_forecasts.values())])
        losses = [float(windows.losses(one).mean()) for one in windows.whole()]
        self._tried[f"{name} ({len(chosen)} series)"] = losses[0], candidate.seconds
        return losses[0] <= CLEARLY_WORSE * min(losses[1:])

    def _windows(self, units: Sequence[Unit], window_forecasts: Sequence[Floats]) -> Windows:
        rows = self._rows
        number = rows.positions(units)[0]
        actual = np.concatenate([rows.values[unit.cut : unit.stop] for unit in units])
        naive = np.concatenate([one.baseline for one in rows.judged(units, np.zeros(len(actual)))])
        sizes, squared = sizes_of(rows, units, searched_metric(self._spec))
        series = np.array([unit.series for unit in units], dtype=np.intp)
        return Windows(np.stack(window_forecasts), actual, naive, sizes, number, series, squared)

    def _context_of(self, name: Name, begin: float, end: float) -> Context:
        """Return the context of a candidate: a separate folder, its parameters, and a part of the progress."""

        def progress(fraction: float, message: str, metrics: Mapping[str, float] | None = None) -> None:
            self._context.progress(begin + fraction * (end - begin), f"{name}: {message}", metrics)

        config = config_of(self._context.config, name)
        if name == "Prophet":  # its windows are the folds on which it compares its fallbacks
            split = (config.spec.split or Split()).model_copy(update={"folds": self._folds})
            config = config.model_copy(update={"spec": config.spec.model_copy(update={"split": split})})
        output = self._context.output / name
        output.mkdir(parents=True, exist_ok=True)
        return dataclasses.replace(
            self._context,
            config=config,
            output=output,
            parameters=config.spec.parameters or {},
            progress=progress,
            tuned=None,
            previous=None,
        )

    def _quantiles(self, units: Sequence[Unit], found: Compared) -> ErrorQuantiles:
        levels = levels_of(self._spec)
        if not levels:
            return ErrorQuantiles()
        if not units:
            raise no_windows(self._dataset.origin.uri)
        number, step = self._rows.positions(units)
        weights = found.weights(len(self._dataset.series))[[unit.series for unit in units]][number]
        window_forecasts = np.einsum("rc,cr->r", weights, np.stack(list(found.windows.values())))
        reported = ErrorQuantiles.of(levels, self._horizon, self._rows.judged(units, window_forecasts), step + 1)
        return reported.with_final_scales(self._dataset, self._rows.frequency.season)

    def _model(
        self, names: Sequence[Name], folder: Path, weights: Floats, quantiles: ErrorQuantiles, until: str
    ) -> AutoModel:
        """Return the members in a folder as one model. ``until`` is the name of the row where the series end."""
        dataset, rows = self._dataset, self._rows
        stops = np.array([getattr(one, until) for one in dataset.series], dtype=np.intp)
        columns = Columns.of(dataset, self._spec.data)
        spans = zip(dataset.series, stops, strict=True)
        floors = [0.0 if rows.values[one.start : stop].min() >= 0 else -np.inf for one, stop in spans]
        return AutoModel(
            ends=Ends(rows.panel.names, rows.times[stops - 1], rows.frequency, columns, self._horizon),
            members=load_members(folder, names, member_framework),
            weights=weights,
            floors=np.array(floors),
            quantiles=quantiles,
        )

    def _leaderboard(self, found: Compared, held: Mapping[Name, Floats], forecasts: Floats) -> pd.DataFrame:
        """Return the errors of the candidates, with seconds of one core.

        For the columns, see ``Evaluation.leaderboard``.
        """
        selection = found.selection
        mean = found.weights(len(self._dataset.series)).mean(axis=0)
        total = sum(one.seconds for one in found.candidates.values())
        entries = [(ENSEMBLE, "", np.nan if selection is None else selection.loss, self._judged(forecasts), 1.0, total)]
        for index, name in enumerate(found.windows):
            loss = np.nan if selection is None else float(selection.losses[index])
            judged = self._judged(held[name]) if name in held else np.nan
            candidate = found.candidates[name]
            entries.append((name, "", loss, judged, float(mean[index]), candidate.seconds))
            for part, (error, weight, seconds) in candidate.parts().items():
                entries.append((part, name, error, np.nan, weight * float(mean[index]), seconds))
        entries += [(name, "", loss, np.nan, 0.0, seconds) for name, (loss, seconds) in self._tried.items()]
        columns = ["candidate", "within", "windows", "holdout", "weight", "seconds"]
        table = pd.DataFrame(entries, columns=columns)
        return table.sort_values("windows", kind="stable", ignore_index=True)

    def _judged(self, forecasts: Floats) -> float:
        """Return the mean error of forecasts of the holdouts, computed as for the windows."""
        rows, units = self._rows, self._rows.holdouts()
        sizes, squared = sizes_of(rows, units, searched_metric(self._spec))
        actual = np.concatenate([rows.values[unit.cut : unit.stop] for unit in units])
        number = rows.positions(units)[0]
        windows = Windows(forecasts[None], actual, forecasts, sizes, number, np.arange(len(units)), squared)
        return float(windows.losses(forecasts).mean())

    def _parameters(self, trained: Mapping[Name, Trained], weights: Floats) -> dict[str, object]:
        means = {name: round(float(weights[:, index].mean()), _DECIMALS) for index, name in enumerate(trained)}
        return {
            "frequency": self._dataset.frequency,
            "weights": means,
            **{name: one.parameters for name, one in trained.items()},
        }

    def _reported(self, made: Trained, trained: Mapping[Name, Trained]) -> Trained:
        """Return the result with the counts of series and the warnings of the candidates."""
        dataset = self._dataset
        fallback = max((one.series.fallback for one in trained.values() if one.series is not None), default=0)
        count = SeriesCount(
            total=dataset.series_total,
            trained=len(dataset.series) - fallback,
            fallback=fallback,
            failed=dataset.series_total - len(dataset.series),
        )
        warnings = [f"{name}: {text}" for name, one in trained.items() for text in one.warnings]
        return dataclasses.replace(made, series=count, warnings=(*self._warnings, *warnings))


def config_of(config: TrainerConfig, name: Name) -> TrainerConfig:
    """Return the configuration of a candidate: that of the job, with the parameters for this candidate, without
    quantiles.
    """
    spec = config.spec
    forecast = spec.forecast.model_copy(update={"quantiles": None}) if spec.forecast is not None else None
    parameters = (spec.parameters or {}).get(name)
    if parameters is not None and not isinstance(parameters, dict):
        raise ConfigError(f"spec.parameters.{name} must map names of {name} parameters to values")
    changed = {"framework": name, "auto": None, "parameters": parameters, "forecast": forecast}
    return config.model_copy(update={"spec": spec.model_copy(update=changed)})


def member_framework(name: str) -> ForecastFramework:
    """Return the framework of a member."""
    return cast("ForecastFramework", framework_named(cast("Framework", name), forecast=True))


def _gathered(output: Path, member: str, files: Sequence[str]) -> list[str]:
    """Return the paths of a member's files in the run. The files of its judged model are moved to the common folder."""
    inside, found = f"{JUDGED}/", []
    for name in files:
        target = f"{inside}{member}/{name.removeprefix(inside)}" if name.startswith(inside) else f"{member}/{name}"
        if name.startswith(inside):
            (output / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(output / member / name, output / target)
        found.append(target)
    return found
