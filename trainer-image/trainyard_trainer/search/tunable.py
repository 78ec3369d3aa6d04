"""What can be searched, and what a search found. Light to import: no framework, no Optuna."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Tuned:
    """What a search found: kept with the version, and what the model's next search tries first.

    Attributes
    ----------
    parameters
        Of the one model; empty where each series has its own.
    series
        By the name of the series, where each has its own model.
    trials, pruned
        How many parameter sets were tried, and how many of them given up half-way.
    """

    parameters: Mapping[str, Any]
    series: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    trials: int = 0
    pruned: int = 0


class Tunable(Protocol):
    """A model whose parameters can be searched; made for one dataset."""

    def space(self) -> Mapping[str, Any]:
        """Return where to look when ``spec.search.space`` does not say, in the words of ``search/space.py``.

        ``default`` in each says what the framework takes by itself, so that the search learns from its first trial.
        What ``spec.parameters`` sets is left out by the search itself, by the same name.
        """
        ...

    def score(self, parameters: Mapping[str, Any], report: Callable[[int, float], None]) -> float:
        """Return ``evaluate.names.searched_metric`` on rows it was not fitted on, never those of the holdout.

        Parameters
        ----------
        parameters
            All of them, as ``Context.parameters`` would hold them for the final training.
        report
            ``report(step, value)`` tells a value of the same metric on the way, at the same steps for every set, and
            raises to give the set up: let it pass.

        Raises
        ------
        ConfigError, DataError
            If this one set cannot be: it counts as failed, and the search goes on.
        """
        ...
