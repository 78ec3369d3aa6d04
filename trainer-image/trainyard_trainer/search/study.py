"""One search: the order of parameter sets, pruning, and early stopping. It can run in a worker process.

The next set only depends on the space, the seed and the earlier trials, because the sampler has a separate seed for
each trial number. So a search that is resumed after a crash has the same result as one without interruption.
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
"""Minimum number of sets before the search can stop early."""

PATIENCE: Final = 5
"""The search stops if this many consecutive sets do not clearly improve the best loss."""

GAIN: Final = 0.01
"""Minimum improvement, as a share of the loss."""

_STARTUP: Final = 5
"""Number of sets before the sampler uses them. Optuna's default of ten would be half of a typical budget."""

_NEVER_PRUNED: Final = 2
"""Minimum number of complete sets before pruning, because pruning needs a median."""

_SEEDS: Final = 1009
"""More than the maximum number of trials, so that each trial of each seed has a different seed."""

_DIRECTIONS: Final[dict[Goal, Literal["minimize", "maximize"]]] = {"Minimize": "minimize", "Maximize": "maximize"}

Outcome = Literal["Complete", "Pruned", "Failed"]
Report = Callable[[int, float], None]
Score = Callable[[Mapping[str, Any], Report], float]


class GivenUpError(Exception):
    """Raised by ``report`` through the framework: the set is worse than most at the same step, or the time is over."""


@dataclass(frozen=True)
class Rules:
    """The budget of a search, and the direction of its metric.

    ``trials`` counts all sets, including failed and pruned ones.
    """

    trials: int
    seconds: float
    goal: Goal
    seed: int
    minimum: int = MINIMUM
    patience: int = PATIENCE


class Trial(BaseModel):
    """A parameter set that was tried.

    ``steps`` are intermediate values. ``value`` is missing if the trial did not complete.
    """

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
        """Return the number of trials with this outcome."""
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
    """Try parameter sets until the budget is used, or there is no more improvement.

    Parameters
    ----------
    space
        The search space. Its ``default`` values complete sets that name fewer parameters, for the sampler.
    score
        Returns the metric of one set. Errors other than ``GivenUpError``, ConfigError, DataError, ValueError and
        ArithmeticError end the search.
    first
        The first sets. The empty set means the defaults of the framework.
    history
        The trials of an earlier attempt at the same search, in order. They are not tried again.
    started, finished
        Called with the number of a trial before it starts, and with the trial and the best one so far after it.

    Raises
    ------
    ConfigError
        If no set could be scored.
    """
    state = _Search(space, rules, history)
    while (number := len(state.trials)) < rules.trials and not state.is_over():
        started(number)
        trial = state.try_next(score, first[number] if number < len(first) else None)
        if trial is None:
            break
        finished(trial, state.best)
    if state.best is None:
        reason = next((trial.message for trial in state.trials), "none was tried")
        raise ConfigError(
            f"spec.search: none of {len(state.trials)} parameter sets could be scored; the first: {reason}; "
            "correct spec.search.space, spec.parameters or the data"
        )
    return Found(state.best, tuple(state.trials))


class _Search:
    """The trials so far, and the choice of the next one."""

    def __init__(self, space: Space, rules: Rules, history: Iterable[Trial]) -> None:
        self._space, self._rules = space, rules
        self._in_optuna: list[optuna.trial.FrozenTrial] = []
        self._improved = 0
        self.best: Trial | None = None
        self.trials: list[Trial] = []
        for trial in history:
            self._learn(trial)

    def is_over(self) -> bool:
        """Return whether the time is over, or there was no improvement for long.

        At least one complete set is required.
        """
        if self.best is None:
            return False
        number, rules = len(self.trials), self._rules
        stuck = number >= rules.minimum and number - self._improved >= rules.patience
        return stuck or self._seconds() >= rules.seconds

    def try_next(self, score: Score, given: Mapping[str, Any] | None) -> Trial | None:
        """Try one set and record it. Return ``None`` if the time was over before it completed."""
        asked = None
        if given is None:
            asked = self._study().ask()
            given = suggest(asked, self._space)
        trial = self._twin(given) or self._attempt(dict(given), score, asked)
        if trial is not None:
            self._learn(trial)
        return trial

    def _study(self) -> "optuna.Study":
        """Return a new study with only the earlier trials.

        A study that is updated during the search would have internal state.

        The sampler is not multivariate, because that one ignores trials that name fewer parameters than the space.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)  # the caller logs each trial itself
        seed = (self._rules.seed * _SEEDS + len(self.trials)) % 2**32
        study = optuna.create_study(
            direction=_DIRECTIONS[self._rules.goal],
            sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP, multivariate=False),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_NEVER_PRUNED),
        )
        study.add_trials(self._in_optuna)
        return study

    def _twin(self, parameters: Mapping[str, Any]) -> Trial | None:
        """Return the trial of an equal set.

        Samplers repeat sets, and to try one again would cost time without a new result.
        """
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
            value, outcome, message = None, "Failed", f"the metric is {value}"
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
        """Return the value as a loss, smaller is better. All maximized metrics have the maximum 1."""
        value = math.inf if trial.value is None else trial.value
        return value if self._rules.goal == "Minimize" else 1 - value

    def _seconds(self) -> float:
        return sum(trial.seconds for trial in self.trials)

    def _known(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of a set that the space has, in Optuna's form, with defaults for missing ones."""
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
