"""Parameter search for one model, before its final training.

It is part of the train stage and keeps each finished trial.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import ValidationError

from trainyard_api.metric_goals import goal_of
from trainyard_api.training import Goal, Split
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_trainer.artifacts.checkpoints import Checkpoints, NoCheckpoints
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.errors import ConfigError, Interrupted
from trainyard_trainer.evaluate.names import searched_metric
from trainyard_trainer.frameworks.base import Context, Framework
from trainyard_trainer.progress.log import LOGGER
from trainyard_trainer.progress.port import Progress
from trainyard_trainer.progress.tracker import metric_value
from trainyard_trainer.search.space import Dimension, defaults_of, inside, parse
from trainyard_trainer.search.study import Found, Report, Rules, Trial, search
from trainyard_trainer.search.tunable import Tuned

SHARE: Final = 0.8
"""Share of the train stage that the search takes. The final training is one fit after many."""

_PREFIX: Final = "search/"


def tune(framework: Framework, dataset: Dataset, context: Context) -> Context:
    """Search parameters, and return the context of the final training with the best ones.

    The parameters found override ``spec.parameters``. The context is returned unchanged without ``spec.search``, or if
    the framework itself searches each series.

    Raises
    ------
    ConfigError
        If the space is invalid, or no parameter set could be scored.
    Interrupted
        When the pod must stop; finished trials are kept for the next attempt.
    """
    search_spec = context.config.spec.search
    window = _Window(context.progress)
    # Checkpoints of the framework are only for its final training. Of a trial, only the result is kept, here.
    of_trials = replace(context, progress=window, checkpoints=NoCheckpoints())
    tunable = None if search_spec is None else framework.tunable(dataset, of_trials)
    if search_spec is None or tunable is None:
        return context
    metric = searched_metric(context.config.spec)
    rules = Rules(
        search_spec.trials,
        search_spec.timeout_seconds,
        goal(context.config.spec),
        (context.config.spec.split or Split()).seed,
    )
    space, first = space_and_first_trials(tunable.space(), context)
    history = read_trials(context.checkpoints)
    if history:
        LOGGER.info("%d trials of an earlier attempt are reused", len(history))

    def score(parameters: Mapping[str, Any], report: Report) -> float:
        def report_unless_stopped(step: int, value: float) -> None:
            raise_if(context.stop)
            report(step, value)

        return tunable.score({**context.parameters, **parameters}, report_unless_stopped)

    def started(number: int) -> None:
        raise_if(context.stop)
        window.move(number, search_spec.trials)

    def finished(trial: Trial, best: Trial | None) -> None:
        context.checkpoints.put(f"{_PREFIX}{trial.number:04}.json", trial.model_dump_json().encode())
        LOGGER.info("%s", trial_message(trial, best, metric, search_spec.trials))

    found = search(space, rules, score, first=first, history=history, started=started, finished=finished)
    _require_success(found, len(first))
    LOGGER.info("the best of %d trials is trial %d", len(found.trials), found.best.number + 1)
    tuned = tuned_of(found)
    return replace(
        context,
        parameters={**context.parameters, **tuned.parameters},
        tuned=tuned,
        progress=_Window(context.progress, SHARE, 1.0),
    )


def _require_success(found: Found, first: int) -> None:
    """Raise ConfigError if all sets drawn from the space failed, even if the defaults, which come first, succeeded."""
    drawn = found.trials[first:]
    if drawn and all(trial.outcome == "Failed" for trial in drawn):
        raise ConfigError(
            f"spec.search: all {len(drawn)} parameter sets of the space failed; the first error: "
            f"{drawn[0].message}; correct spec.search.space"
        )


def goal(spec: TrainingJobSpec) -> Goal:
    """Return whether the searched metric is minimized or maximized. Raises ConfigError if it cannot rank models."""
    metric = searched_metric(spec)
    found = goal_of(metric, spec.objective)
    if found is None:
        raise ConfigError(
            f"spec.objective.metric {metric} cannot rank models, so spec.search cannot use it; choose another metric"
        )
    return found


def space_and_first_trials(
    own: Mapping[str, Any], context: Context
) -> tuple[dict[str, Dimension], list[dict[str, Any]]]:
    """Return the space and the first sets to try: the defaults, then the best set of the last version's search.

    Parameters
    ----------
    own
        The space of the framework. Parameters that ``spec.parameters`` sets are left out. If the user gives a space, it
        is used instead, completely.

    Raises
    ------
    ConfigError
        If the space is invalid or empty.
    """
    spec = context.config.spec
    given = spec.parameters or {}
    known = parse(own, "the framework's space") if own else {}
    users = (spec.search.space if spec.search else None) or {}
    space = parse(users) if users else {name: known[name] for name in known if name not in given}
    if not space:
        raise ConfigError(
            "spec.parameters sets all parameters that a search would try: name at least one in spec.search.space"
        )
    begin = defaults_of(space) if users else {}
    preferred = inside({**defaults_of(known), **given, **begin}, space)
    space = {name: dimension.model_copy(update=_default(preferred, name)) for name, dimension in space.items()}
    before = inside(context.previous.parameters, space) if context.previous is not None else {}
    return space, [begin, before] if before and before != begin else [begin]


def read_trials(checkpoints: Checkpoints, prefix: str = _PREFIX) -> list[Trial]:
    """Return the trials of earlier attempts in order, up to the first that is missing or unreadable."""
    trials: list[Trial] = []
    while (body := checkpoints.get(f"{prefix}{len(trials):04}.json")) is not None:
        try:
            trials.append(Trial.model_validate_json(body))
        except ValidationError:
            LOGGER.warning("the record of trial %d cannot be read; the trial runs again", len(trials) + 1)
            break
    return trials


def tuned_of(found: Found) -> Tuned:
    """Return the result of a search that is kept."""
    return Tuned(dict(found.best.parameters), trials=len(found.trials), pruned=found.count("Pruned"))


def trial_message(trial: Trial, best: Trial | None, metric: str, total: int) -> str:
    """Return the log message of a trial."""
    values = {
        name: format(value, ".4g") if isinstance(value, float) else value for name, value in trial.parameters.items()
    }
    parameters_text = ", ".join(f"{name} {value}" for name, value in values.items()) or "the defaults"
    match trial.outcome:
        case "Complete":
            result = f"{metric} {metric_value(trial.value or 0.0)}"
        case "Pruned":
            result = "pruned"
        case "Failed":
            result = f"failed ({trial.message})"
    so_far = "" if best is None or best.value is None else f"; best {metric_value(best.value)}"
    return f"trial {trial.number + 1} of {total} in {trial.seconds:.1f} s: {result}{so_far} ({parameters_text})"


def raise_if(stop: Callable[[], bool]) -> None:
    """Raise Interrupted when the pod must stop."""
    if stop():
        raise Interrupted("stopped while searching; the next attempt continues after the last finished trial")


def _default(preferred: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {"default": preferred[name]} if name in preferred else {}


@dataclass
class _Window:
    """Progress of a part of a stage, for code that reports fractions of a whole."""

    whole: Progress
    begin: float = 0.0
    end: float = SHARE
    prefix: str = ""

    def move(self, number: int, total: int) -> None:
        """Start the part of a trial."""
        self.begin, self.end = SHARE * number / total, SHARE * (number + 1) / total
        self.prefix = f"trial {number + 1} of {total}: "
        self(0.0, "fitting")

    def __call__(self, fraction: float, message: str, metrics: Mapping[str, float] | None = None) -> None:
        self.whole(self.begin + fraction * (self.end - self.begin), f"{self.prefix}{message}", metrics)
