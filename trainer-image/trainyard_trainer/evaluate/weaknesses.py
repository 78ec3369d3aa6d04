"""Warnings about the reliability of an evaluation. They are part of the result."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol

import numpy as np
import pandas as pd

from trainyard_trainer.evaluate.names import SERIES_BELOW_BASELINE, SKILL


class Judged(Protocol):
    """An evaluation of held-out rows."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """Metrics by name."""
        ...

    @property
    def table(self) -> pd.DataFrame:
        """The long table, series by series."""
        ...

    @property
    def holdout(self) -> pd.DataFrame | None:
        """The held-out rows."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Reasons for missing metrics."""
        ...

    @property
    def baseline(self) -> str:
        """The name of the naive model."""
        ...


FEW_POSITIVES: Final = 20
"""With fewer positive rows in the holdout, a single row changes recall by more than 5 percentage points."""


def weaknesses(found: Judged, positive: str | None, wanted: Sequence[str], objective: str) -> list[str]:
    """Return the warnings about an evaluation.

    Parameters
    ----------
    positive
        The positive one of two classes; ``None`` for other targets.
    wanted
        The metrics that should rank the model, first choice first (see ``names.ranking_metrics``).
    objective
        The metric that does rank it.
    """
    return [
        *_about_classes(found.holdout, positive),
        *_about_objective(found.notes, wanted, objective),
        *_about_baseline(found),
    ]


def _about_classes(holdout: pd.DataFrame | None, positive: str | None) -> Iterator[str]:
    if positive is None or holdout is None:
        return
    rows, there = len(holdout), int(np.sum(holdout["actual"].to_numpy() == 1))
    more = "provide more data, or a larger split.testFraction"
    if there in {0, rows}:
        only = f"no row of {positive!r}" if there == 0 else f"only rows of {positive!r}"
        yield (
            f"the holdout of {rows} rows has {only}: auc and average_precision are undefined, and precision, "
            f"recall and F1 have no meaning; {more}"
        )
    elif there < FEW_POSITIVES:
        yield (
            f"the holdout has {there} rows of {positive!r}: metrics of so few rows depend mostly on chance, "
            f"a single row changes recall by {1 / there:.0%}; {more}"
        )


def _about_objective(notes: Sequence[str], wanted: Sequence[str], objective: str) -> Iterator[str]:
    if objective == wanted[0]:
        return
    why = next((note for note in notes if wanted[0] in note), "")
    because = f" ({why})" if why else ""
    yield (
        f"{wanted[0]} has no value on the holdout{because}, so {objective} ranks this model: do not "
        "compare its objective with that of other versions, or set spec.objective"
    )


def _about_baseline(found: Judged) -> Iterator[str]:
    named = f" ({found.baseline})" if found.baseline else ""
    skill = found.metrics.get(SKILL)
    if skill is not None and skill < 0:
        yield (
            f"the model is worse than its baseline{named}: skill {skill:.3g}; a gate with metric skill, op "
            "'>' and value 0 would reject it"
        )
    below = found.metrics.get(SERIES_BELOW_BASELINE)
    reported = int(((found.table["metric"] == SKILL) & found.table["series"].notna()).sum())
    if below is not None and reported > 1 and below > reported / 2:
        yield (
            f"{below:.0f} of {reported} series have a worse forecast than the baseline{named}: check the "
            "worst ones in the report, or set a gate on series_below_baseline"
        )
