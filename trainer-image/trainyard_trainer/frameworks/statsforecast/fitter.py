"""The fits of one job: methods are compared on windows of some series, then those with a weight are fitted to all."""

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
    """What the comparison of methods found.

    Attributes
    ----------
    units
        The windows they were compared on; none where nothing was.
    forecasts
        The weighted forecast of the rows of the windows; shape (rows,).
    selections
        Of the steady (False) and of the intermittent series (True), over the methods of each; absent where a group has
        no window.
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
        The steps behind its split and behind its end; shape (steps,).
    weights
        Of all methods; none has any where the seasonal naive model answers. Shape (methods,).
    failures
        Why methods failed, by their labels.
    """

    held: Floats
    ahead: Floats
    weights: Floats
    failures: Mapping[str, str]


def _allowed(wanted: tuple[Method, ...], allowed: Sequence[Method]) -> tuple[Method, ...]:
    """Return what of the wanted methods is allowed, all of them where nothing is said; at least the last one."""
    return tuple(one for one in wanted if one in allowed) or wanted[-1:] if allowed else wanted


class StatsFitter:
    """All fits of one job.

    Parameters
    ----------
    methods
        Of those that the job would compare, only these; all of them without any.

    Attributes
    ----------
    methods
        All that take part, for steady and for intermittent series.
    seconds
        Of one core that each method has taken so far; shape (methods,).
    """

    def __init__(self, dataset: Dataset, context: Context, methods: Sequence[Method] = ()) -> None:
        spec = context.config.spec
        if spec.forecast is None:
            raise AssertionError("check has seen the section forecast")
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
        """Return the windows that methods are compared on."""
        dataset = self.layout.rows.dataset
        wanted = origins_wanted(dataset, self.horizon, self._folds, _ROWS_PER_JUDGED)
        return windows_of(self.layout.rows, self.horizon, wanted, spread_series(dataset))

    def choose(self, units: Sequence[Unit], metric: str, begin: float, end: float) -> Choice:
        """Compare the methods on some windows, series by series; ``begin`` and ``end`` are for the progress."""
        if not units:
            return Choice()
        cuts: dict[int, list[Cut]] = {}
        for unit in units:
            cuts.setdefault(unit.series, []).append(self.layout.cut(unit))
        candidates = [self.candidates[self._intermittent[number]] for number in cuts]
        tasks = [self._task(number, cuts[number], which) for number, which in zip(cuts, candidates, strict=True)]
        said: list[Floats] = []
        for done, (which, outcome) in enumerate(zip(candidates, self._run("choice", tasks), strict=True), 1):
            said += self._spread(outcome, which)
            text = f"compared methods on {done} of {len(tasks)} series"
            self._context.progress(begin + done / len(tasks) * (end - begin), text)
        return self._choice(units, np.concatenate(said, axis=1), metric)

    def fit(self, choice: Choice, held: Ends, ahead: Ends, begin: float, end: float) -> Iterator[Fit]:
        """Fit to each series the methods that have a weight there, before its holdout and to its end.

        Parameters
        ----------
        held, ahead
            Where the judged and the final model begin: see :meth:`ends`.
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
            there = ~np.isnan(np.concatenate(tables, axis=1)).any(axis=1)
            used = np.where(there, weights[number], 0.0)
            if used.any():
                used /= used.sum()
                mixed = [used[there] @ table[there] for table in tables]
            else:
                mixed = [self.layout.naive(number, cut) for cut in tasks[number].cuts]
            yield Fit(mixed[0], mixed[1], used, outcome.failures)

    def ends(self) -> tuple[Ends, Ends]:
        """Return where the judged and the final model begin."""
        series = self.layout.rows.dataset.series
        splits = np.array([one.split for one in series], dtype=np.intp)
        stops = np.array([one.stop for one in series], dtype=np.intp)
        return (
            self.layout.ends(splits, self.columns, self.horizon),
            self.layout.ends(stops, self.columns, self.horizon),
        )

    # ---- within ------------------------------------------------------------------------------------------------------

    def _choice(self, units: Sequence[Unit], said: Floats, metric: str) -> Choice:
        """Return the choice on windows whose steps the methods have said, unit by unit; shape (methods, steps)."""
        rows = self.layout.rows
        number, step = rows.positions(units)
        behind = np.concatenate([[0], np.cumsum([self.layout.cut(unit)[1] for unit in units])])
        at = behind[number] + step
        substitute = np.concatenate([self.layout.naive(unit.series, self.layout.cut(unit)) for unit in units])
        actual = np.concatenate([rows.values[unit.cut : unit.stop] for unit in units])
        sizes, squared = sizes_of(rows, units, metric)
        series = np.array([unit.series for unit in units], dtype=np.intp)
        windows = Windows(said[:, at], actual, substitute[at], sizes, number, series, squared)
        group = np.array([self._intermittent[one] for one in series])
        selections, forecasts = {}, np.empty(len(actual))
        for intermittent in sorted(set(group.tolist())):
            mine = windows.take(group == intermittent)
            mine = replace(mine, forecasts=mine.forecasts[self.candidates[intermittent]])
            selections[intermittent] = found = select(mine)
            forecasts[(group == intermittent)[number]] = found.mixed(mine)
        return Choice(tuple(units), forecasts, selections)

    def _weights(self, number: int, choice: Choice) -> Floats:
        """Return the weights of all methods in a series; where nothing was compared they are equal."""
        candidates = self.candidates[self._intermittent[number]]
        selection = choice.selections.get(self._intermittent[number])
        found = np.zeros(len(self.methods))
        found[candidates] = 1 / len(candidates) if selection is None else selection.weights(number)
        return found

    def _task(self, number: int, cuts: Sequence[Cut], methods: Numbers) -> Task:
        return self.layout.task(number, cuts, [self.methods[one] for one in methods])

    def _run(self, stage: str, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Yield the outcome of each task, found or made; what was made is left in the checkpoints."""
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
        """Return what it said at each cut in the places of all methods; shape (methods, steps)."""
        found = []
        for said in outcome.forecasts:
            table = np.full((len(self.methods), said.shape[1]), np.nan)
            table[methods] = said
            found.append(table)
        return found
