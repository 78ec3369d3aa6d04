"""The fits of one job: compare methods on windows of some series, then fit those with a weight to all series."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.frameworks.base import Context
from trainyard_trainer.frameworks.ensemble import Numbers, Selection, Windows, select
from trainyard_trainer.frameworks.forecast.baseline import Baseline
from trainyard_trainer.frameworks.forecast.columns import Columns
from trainyard_trainer.frameworks.forecast.ends import Ends
from trainyard_trainer.frameworks.forecast.rows import Unit
from trainyard_trainer.frameworks.forecast.windows import origins_wanted, sizes_of, spread_series, windows_of
from trainyard_trainer.frameworks.statsforecast.fit import NEEDED, Cut, Outcome, Task, forecast_series
from trainyard_trainer.frameworks.statsforecast.layout import Layout
from trainyard_trainer.frameworks.statsforecast.methods import Method, asked_methods, default_methods
from trainyard_trainer.frameworks.statsforecast.server import start
from trainyard_trainer.frameworks.workers.pieces import Finished, PieceWriter
from trainyard_trainer.frameworks.workers.pool import fit_all

_ROWS_PER_JUDGED: Final = 3


@dataclass(frozen=True)
class Choice:
    """The result of the comparison of methods.

    Attributes
    ----------
    units
        The windows of the comparison. Empty if there was none.
    forecasts
        The weighted forecast of the rows of the windows; shape (rows,).
    selections
        The selections for steady (False) and intermittent series (True), with the methods of each group. Missing if a
        group has no window.
    """

    units: tuple[Unit, ...] = ()
    forecasts: Floats = field(default_factory=lambda: np.empty(0))
    selections: Mapping[bool, Selection] = field(default_factory=dict)


@dataclass(frozen=True)
class Fit:
    """A finished series.

    Attributes
    ----------
    held, ahead
        Forecasts of the steps after its split and after its end; shape (steps,).
    weights
        Weights of all methods; shape (methods,). All are zero if the seasonal naive forecast is used.
    failures
        Reasons of failures by the labels of the methods.
    """

    held: Floats
    ahead: Floats
    weights: Floats
    failures: Mapping[str, str]


def _allowed(wanted: tuple[Method, ...], allowed: Sequence[Method]) -> tuple[Method, ...]:
    """Return the allowed ones of the requested methods.

    If none is allowed, return the last one; without a limit, return all.
    """
    return tuple(one for one in wanted if one in allowed) or wanted[-1:] if allowed else wanted


class StatsFitter:
    """All fits of one job.

    Parameters
    ----------
    methods
        Limits the methods that the job compares. Empty means no limit.

    Attributes
    ----------
    methods
        All methods in use, for steady and for intermittent series.
    seconds
        Time of each method on one core so far; shape (methods,).
    """

    def __init__(self, dataset: Dataset, context: Context, methods: Sequence[Method] = ()) -> None:
        spec = context.config.spec
        if spec.forecast is None:
            raise AssertionError("check() requires spec.forecast")
        self._context = context
        self.horizon = spec.forecast.horizon
        self.layout = Layout.of(dataset, Baseline.chosen(dataset, spec), context.parameters.get("input_size"))
        self.columns = replace(Columns.of(dataset, spec.data), regressors=())
        self._folds = spec.split.folds if spec.split is not None else 2
        self._intermittent = [dataset.demand.get(one.name) == "Intermittent" for one in dataset.series]
        asked, season = asked_methods(context.parameters), self.layout.rows.frequency.season
        groups = {
            intermittent: _allowed(asked or default_methods(intermittent=intermittent, season=season), methods)
            for intermittent in sorted(set(self._intermittent))
        }
        self.methods = tuple({one.label: one for group in groups.values() for one in group}.values())
        self.candidates = {
            intermittent: np.array([self.methods.index(one) for one in group], dtype=np.intp)
            for intermittent, group in groups.items()
        }
        self.seconds = np.zeros(len(self.methods))

    def sampled_windows(self) -> tuple[Unit, ...]:
        """Return the windows on which methods are compared."""
        dataset = self.layout.rows.dataset
        wanted = origins_wanted(dataset, self.horizon, self._folds, _ROWS_PER_JUDGED)
        return windows_of(self.layout.rows, self.horizon, wanted, spread_series(dataset))

    def choose(self, units: Sequence[Unit], metric: str, begin: float, end: float) -> Choice:
        """Compare the methods on some windows, series by series. ``begin`` and ``end`` are for the progress."""
        if not units:
            return Choice()
        cuts: dict[int, list[Cut]] = {}
        for unit in units:
            cuts.setdefault(unit.series, []).append(self.layout.cut(unit))
        candidates = [self.candidates[self._intermittent[number]] for number in cuts]
        tasks = [self._task(number, cuts[number], which) for number, which in zip(cuts, candidates, strict=True)]
        window_forecasts: list[Floats] = []
        for done, (which, outcome) in enumerate(zip(candidates, self._run("choice", tasks), strict=True), 1):
            window_forecasts += self._spread(outcome, which)
            text = f"compared methods on {done} of {len(tasks)} series"
            self._context.progress(begin + done / len(tasks) * (end - begin), text)
        return self._choice(units, np.concatenate(window_forecasts, axis=1), metric)

    def fit(self, choice: Choice, held: Ends, ahead: Ends, begin: float, end: float) -> Iterator[Fit]:
        """Fit the methods with a weight to each series, up to its holdout and up to its end.

        Parameters
        ----------
        held, ahead
            The ends of the series for the judged and the final model: see :meth:`ends`.
        """
        series = self.layout.rows.dataset.series
        weights = [self._weights(number, choice) for number in range(len(series))]
        tasks = []
        for number, (one, near, far) in enumerate(zip(series, held.reach(), ahead.reach(), strict=True)):
            known, steps = self.layout.cut(Unit(number, one.split, one.stop))
            cuts = [(known, max(steps, int(near))), (self.layout.known(number, one.stop), int(far))]
            tasks.append(self._task(number, cuts, np.flatnonzero(weights[number])))
        for number, outcome in enumerate(self._run("fit", tasks)):
            share = (number + 1) / len(series)
            self._context.progress(begin + share * (end - begin), f"{number + 1} of {len(series)} series")
            tables = self._spread(outcome, np.flatnonzero(weights[number]))
            complete = ~np.isnan(np.concatenate(tables, axis=1)).any(axis=1)
            used = np.where(complete, weights[number], 0.0)
            if used.any():
                used /= used.sum()
                mixed = [used[complete] @ table[complete] for table in tables]
            else:
                mixed = [self.layout.naive(number, cut) for cut in tasks[number].cuts]
            yield Fit(mixed[0], mixed[1], used, outcome.failures)

    def ends(self) -> tuple[Ends, Ends]:
        """Return the ends of the series for the judged and the final model."""
        series = self.layout.rows.dataset.series
        splits = np.array([one.split for one in series], dtype=np.intp)
        stops = np.array([one.stop for one in series], dtype=np.intp)
        return (
            self.layout.ends(splits, self.columns, self.horizon),
            self.layout.ends(stops, self.columns, self.horizon),
        )

    # ---- within ------------------------------------------------------------------------------------------------------

    def _choice(self, units: Sequence[Unit], window_forecasts: Floats, metric: str) -> Choice:
        """Return the choice from forecasts of windows, unit by unit; shape (methods, steps)."""
        rows = self.layout.rows
        number, step = rows.positions(units)
        behind = np.concatenate([[0], np.cumsum([self.layout.cut(unit)[1] for unit in units])])
        at = behind[number] + step
        substitute = np.concatenate([self.layout.naive(unit.series, self.layout.cut(unit)) for unit in units])
        actual = np.concatenate([rows.values[unit.cut : unit.stop] for unit in units])
        sizes, squared = sizes_of(rows, units, metric)
        series = np.array([unit.series for unit in units], dtype=np.intp)
        windows = Windows(window_forecasts[:, at], actual, substitute[at], sizes, number, series, squared)
        group = np.array([self._intermittent[one] for one in series])
        selections, forecasts = {}, np.empty(len(actual))
        for intermittent in sorted(set(group.tolist())):
            own_windows = windows.take(group == intermittent)
            own_windows = replace(own_windows, forecasts=own_windows.forecasts[self.candidates[intermittent]])
            selections[intermittent] = found = select(own_windows)
            forecasts[(group == intermittent)[number]] = found.mixed(own_windows)
        return Choice(tuple(units), forecasts, selections)

    def _weights(self, number: int, choice: Choice) -> Floats:
        """Return the weights of all methods for a series. Without a comparison, they are equal."""
        candidates = self.candidates[self._intermittent[number]]
        selection = choice.selections.get(self._intermittent[number])
        found = np.zeros(len(self.methods))
        found[candidates] = 1 / len(candidates) if selection is None else selection.weights(number)
        return found

    def _task(self, number: int, cuts: Sequence[Cut], methods: Numbers) -> Task:
        return self.layout.task(number, cuts, [self.methods[one] for one in methods])

    def _run(self, stage: str, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Yield the outcome of each task, read from the checkpoints or computed. Computed ones are saved there."""
        context, prefix = self._context, f"statsforecast-{stage}-"
        finished = Finished(context.checkpoints, prefix, context.work_dir, NEEDED)
        pieces = PieceWriter(context.checkpoints, prefix)
        open_ = [task for task in tasks if task.name not in finished]
        workers = max(1, min(context.workers, len(open_)))
        if workers > 1:
            start()
        made = fit_all(forecast_series, open_, workers, context.stop, context.work_dir)
        labels = {one.label: number for number, one in enumerate(self.methods)}
        try:
            for task in tasks:
                if task.name in finished:
                    outcome = Outcome.from_json(finished.read(task.name))
                else:
                    outcome = next(made)
                    pieces.add(outcome.name, outcome.as_json())
                self.seconds[[labels[one.label] for one in task.methods]] += outcome.seconds
                yield outcome
        finally:
            pieces.flush()
            finished.close()

    def _spread(self, outcome: Outcome, methods: Numbers) -> list[Floats]:
        """Return the forecasts at each cut in the positions of all methods; shape (methods, steps)."""
        found = []
        for window_forecasts in outcome.forecasts:
            table = np.full((len(self.methods), window_forecasts.shape[1]), np.nan)
            table[methods] = window_forecasts
            found.append(table)
        return found
