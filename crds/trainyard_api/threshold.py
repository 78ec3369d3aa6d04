"""The threshold of the positive class, or the goal by which the trainer chooses it on the validation part."""

from typing import Annotated, Literal

from pydantic import Field

from trainyard_api.base import ApiModel, Rule, is_set

Share = Annotated[float, Field(gt=0, le=1)]
Cost = Annotated[float, Field(gt=0, le=1_000_000)]

_GOALS = ("optimize", "min_recall", "min_precision", "cost_of_miss", "value")


class Threshold(ApiModel):
    """The goal for the prediction of the positive class. Set exactly one goal; costOfMiss and costOfAlarm are one
    goal."""

    optimize: Literal["F1"] | None = None
    """F1: use the threshold with the highest F1 score."""
    min_recall: Share | None = None
    """Minimum recall, above 0 and at most 1. Of the thresholds that reach it, the one with the highest precision is
    used."""
    min_precision: Share | None = None
    """Minimum precision, above 0 and at most 1. Of the thresholds that reach it, the one with the highest recall is
    used."""
    cost_of_miss: Cost | None = None
    """Cost of a false negative. The threshold with the lowest total cost is used. Requires costOfAlarm."""
    cost_of_alarm: Cost | None = None
    """Cost of a false positive. Requires costOfMiss."""
    value: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Fixed threshold: a probability between 0 and 1."""

    rules = (
        Rule(
            "[has(self.optimize), has(self.minRecall), has(self.minPrecision), has(self.costOfMiss), has(self.value)]"
            ".filter(x, x).size() == 1",
            "threshold needs exactly one of optimize, minRecall, minPrecision, value, and costOfMiss with costOfAlarm",
            lambda m: sum(is_set(m, name) for name in _GOALS) == 1,
        ),
        Rule(
            "has(self.costOfMiss) == has(self.costOfAlarm)",
            "threshold needs both costOfMiss and costOfAlarm, or none of them",
            lambda m: is_set(m, "cost_of_miss") == is_set(m, "cost_of_alarm"),
        ),
    )
