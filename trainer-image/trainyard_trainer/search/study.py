"""One search: which set is tried next, when a set is given up, and when to stop. Usable in a worker process.

What is tried is a function of the space, the seed and the trials so far: the sampler gets a seed of its own for each
number. A search that is taken up after a crash therefore ends where an undisturbed one does.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from trainyard_api.training import Goal
from trainyard_trainer.errors import ConfigError, DataError
from trainyard_trainer.search.space import Space, defaults_of, inside, suggest

if TYPE_CHECKING:
    import optuna

MINIMUM: Final = 10
"""So many sets are tried before the search may end early."""

PATIENCE: Final = 5
"""The search ends when so many sets in a row have not made the best noticeably better."""

GAIN: Final = 0.01
"""What is noticeable: this share of the loss."""

_STARTUP: Final = 5
"""Sets before the sampler learns from them; Optuna's own ten would be half of a usual budget."""

_NEVER_PRUNED: Final = 2
"""Complete sets before one can be given up: there must be a median."""

_SEEDS: Final = 1009
"""More than there are trials of one search: each trial of each seed has a seed of its own."""

_DIRECTIONS: Final[dict[Goal, Literal["minimize", "maximize"]]] = {"Minimize": "minimize", "Maximize": "maximize"}

Outcome = Literal["Complete", "Pruned", "Failed"]
Report = Callable[[int, float], None]
Score = Callable[[Mapping[str, Any], Report], float]


class GivenUpError(Exception):
    """Raised by ``report`` through the framework: this set is worse than most at the same step, or time is up."""


@dataclass(frozen=True)
class Rules:
    """The budget of a search, and which way its metric is better.

    ``trials`` counts all sets, those that fail or are given up too.
    """

    trials: int
    seconds: float
    goal: Goal
    seed: int
    minimum: int = MINIMUM
    patience: int = PATIENCE


class Trial(BaseModel):
    """A set that was tried. ``steps`` are the values on the way; ``value`` is missing where there is no end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    parameters: dict[str, Any]
    outcome: Outcome
    value: float | None = None
    steps: dict[int, float] = {}
    seconds: float = 0.0
    message: str = ""


@dataclass(frozen=True)
class Found:
    """The best set of a search, and all that were tried."""

    best: Trial
    trials: tuple[Trial, ...]

    def count(self, outcome: Outcome) -> int:
        """Return how many sets ended so."""
        return sum(trial.outcome == outcome for trial in self.trials)


def search(
    space: Space,
    rules: Rules,
    score: Score,
    *,
    first: Sequence[Mapping[str, Any]] = ({},),
    history: Iterable[Trial] = (),
    started: Callable[[int], None] = lambda _: None,
    finished: Callable[[Trial, Trial | None], None] = lambda *_: None,
) -> Found:
    """Try parameter sets until the budget is spent or nothing gets better.

    Parameters
    ----------
    space
        Where to look. Its ``default`` values tell the sampler what a set means that names fewer parameters.
    score
        Returns the metric of one set. What it raises besides ``GivenUpError``, ConfigError, DataError, ValueError and
        ArithmeticError ends the search.
    first
        The sets to begin with; the empty one is what the framework does by itself.
    history
        The trials of an earlier attempt at the same search, in their order: they are not tried again.
    started, finished
        Told the number of a set before it is tried; and the set, with the best so far, after it.

    Raises
    ------
    ConfigError
        If not one set could be scored.
    """
    state = _Search(space, rules, history)
    while (number := len(state.trials)) < rules.trials and not state.is_over():
        started(number)
        trial = state.try_next(score, first[number] if number < len(first) else None)
        if trial is None:
            break
        finished(trial, state.best)
    if state.best is None:
        reason = next((trial.message for trial in state.trials), "no time for a single one")
        raise ConfigError(
            f"spec.search: none of {len(state.trials)} parameter sets could be scored; the first: {reason}; "
            "correct spec.search.space, spec.parameters or the data"
        )
    return Found(state.best, tuple(state.trials))


class _Search:
    """The trials so far, and what follows from them."""

    def __init__(self, space: Space, rules: Rules, history: Iterable[Trial]) -> None:
        self._space, self._rules = space, rules
        self._in_optuna: list[optuna.trial.FrozenTrial] = []
        self._improved = 0
        self.best: Trial | None = None
        self.trials: list[Trial] = []
        for trial in history:
            self._learn(trial)

    def is_over(self) -> bool:
        """Tell whether time is up or nothing has got better for long. One complete set is always awaited."""
        if self.best is None:
            return False
        number, rules = len(self.trials), self._rules
        stuck = number >= rules.minimum and number - self._improved >= rules.patience
        return stuck or self._seconds() >= rules.seconds

    def try_next(self, score: Score, given: Mapping[str, Any] | None) -> Trial | None:
        """Try one set and learn from it; ``None`` when time ran out before its end."""
        asked = None
        if given is None:
            asked = self._study().ask()
            given = suggest(asked, self._space)
        trial = self._twin(given) or self._attempt(dict(given), score, asked)
        if trial is not None:
            self._learn(trial)
        return trial

    def _study(self) -> "optuna.Study":
        """Return a study that knows the past and nothing else: a shorter way, telling it as it goes, keeps a state.

        Not multivariate: that sampler learns nothing once a set of the past names fewer parameters than the space.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)  # a line per trial is the caller's, in its own words
        seed = (self._rules.seed * _SEEDS + len(self.trials)) % 2**32
        study = optuna.create_study(
            direction=_DIRECTIONS[self._rules.goal],
            sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP, multivariate=False),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_NEVER_PRUNED),
        )
        study.add_trials(self._in_optuna)
        return study

    def _twin(self, parameters: Mapping[str, Any]) -> Trial | None:
        """Return the result of the same set. Samplers repeat themselves; it would cost as much and say the same."""
        known = self._known(parameters)
        twin = next((trial for trial in self.trials if self._known(trial.parameters) == known), None)
        changed = {"number": len(self.trials), "parameters": dict(parameters), "seconds": 0.0}
        return None if twin is None else twin.model_copy(update=changed)

    def _attempt(self, parameters: dict[str, Any], score: Score, asked: "optuna.Trial | None") -> Trial | None:
        begin = monotonic()
        steps: dict[int, float] = {}
        late = False

        def report(step: int, value: float) -> None:
            nonlocal late
            late = self.best is not None and self._seconds() + monotonic() - begin >= self._rules.seconds
            if math.isfinite(value):
                steps[step] = value
            if asked is not None:
                asked.report(value, step)
            if late or (asked is not None and asked.should_prune()):
                raise GivenUpError

        value: float | None = None
        outcome: Outcome = "Complete"
        message = ""
        try:
            value = float(score(parameters, report))
        except GivenUpError:
            outcome = "Pruned"
        except (ConfigError, DataError, ValueError, ArithmeticError) as error:
            outcome, message = "Failed", str(error)
        if value is not None and not math.isfinite(value):
            value, outcome, message = None, "Failed", f"its metric is {value}"
        return (
            None
            if late and outcome == "Pruned"
            else Trial(
                number=len(self.trials),
                parameters=parameters,
                outcome=outcome,
                value=value,
                steps=steps,
                seconds=round(monotonic() - begin, 3),
                message=message,
            )
        )

    def _learn(self, trial: Trial) -> None:
        self._in_optuna.append(_as_optuna(trial, self._space, self._known(trial.parameters)))
        self.trials.append(trial)
        if trial.value is None:
            return
        now, before = self._loss(trial), math.inf if self.best is None else self._loss(self.best)
        if now < before:
            self.best = trial
        if before == math.inf or now < before - GAIN * abs(before):
            self._improved = len(self.trials)

    def _loss(self, trial: Trial) -> float:
        """Return what is better when smaller. The metrics of which more is better all end at 1."""
        value = math.inf if trial.value is None else trial.value
        return value if self._rules.goal == "Minimize" else 1 - value

    def _seconds(self) -> float:
        return sum(trial.seconds for trial in self.trials)

    def _known(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the space knows of a set, as Optuna keeps it, with the defaults of what the set does not name."""
        known = inside({**defaults_of(self._space), **parameters}, self._space)
        return {name: self._space[name].stored(value) for name, value in known.items()}


def _as_optuna(trial: Trial, space: Space, known: Mapping[str, Any]) -> "optuna.trial.FrozenTrial":
    import optuna

    states = optuna.trial.TrialState
    return optuna.trial.create_trial(
        state={"Complete": states.COMPLETE, "Pruned": states.PRUNED, "Failed": states.FAIL}[trial.outcome],
        value=trial.value,
        params=dict(known),
        distributions={name: space[name].distribution() for name in known},
        intermediate_values=trial.steps,
    )
