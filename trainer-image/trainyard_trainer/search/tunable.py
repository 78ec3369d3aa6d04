"""The interface of searchable models, and the result of a search. Fast to import, without frameworks and Optuna."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Tuned:
    """The result of a search. It is stored with the version, and the next search of the model tries it first.

    Attributes
    ----------
    parameters
        The best set of a single model. Empty if each series has its own.
    series
        The best sets by the name of the series, if each has its own model.
    trials, pruned
        Number of parameter sets that were tried, and of those that were pruned.
    """

    parameters: Mapping[str, Any]
    series: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    trials: int = 0
    pruned: int = 0


class Tunable(Protocol):
    """A model on one dataset whose parameters can be searched."""

    def space(self) -> Mapping[str, Any]:
        """Return the default space for a job without ``spec.search.space``, in the format of ``search/space.py``.

        ``default`` in each dimension is the default of the framework, so that the search uses its first trial. The
        search itself leaves out parameters that ``spec.parameters`` sets.
        """
        ...

    def score(self, parameters: Mapping[str, Any], report: Callable[[int, float], None]) -> float:
        """Return ``evaluate.names.searched_metric`` on rows that were not used for fitting, but never on the holdout.

        Parameters
        ----------
        parameters
            All parameters, as in ``Context.parameters`` of the final training.
        report
            ``report(step, value)`` receives an intermediate value of the same metric, at the same steps for every set.
            It raises an error to prune the set. Do not catch it.

        Raises
        ------
        ConfigError, DataError
            If this set is invalid. It counts as failed, and the search continues.
        """
        ...
