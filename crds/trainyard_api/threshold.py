"""From which probability on the positive one of two classes is called: a wish, met on the validation part."""

from typing import Annotated, Literal

from pydantic import Field

from trainyard_api.base import ApiModel, Rule, is_set

Share = Annotated[float, Field(gt=0, le=1)]
Cost = Annotated[float, Field(gt=0, le=1_000_000)]

_WISHES = ("optimize", "min_recall", "min_precision", "cost_of_miss", "value")


class Threshold(ApiModel):
    """What a call of the positive class must reach, on the validation part. Exactly one wish; a cost needs both."""

    optimize: Literal["F1"] | None = None
    """F1: the threshold with the best F1."""
    min_recall: Share | None = None
    """At least this share of the positive rows is found; of such thresholds the one with the best precision."""
    min_precision: Share | None = None
    """At least this share of the calls is right; of such thresholds the one that finds most."""
    cost_of_miss: Cost | None = None
    """What a positive row that is not called costs; with costOfAlarm: the threshold with the least cost."""
    cost_of_alarm: Cost | None = None
    """What the call of a row that is not positive costs."""
    value: Annotated[float, Field(gt=0, lt=1)] | None = None
    """This very threshold: a probability."""

    rules = (
        Rule(
            "[has(self.optimize), has(self.minRecall), has(self.minPrecision), has(self.costOfMiss), has(self.value)]"
            ".filter(x, x).size() == 1",
            "threshold needs exactly one of optimize, minRecall, minPrecision, value, and costOfMiss with costOfAlarm",
            lambda m: sum(is_set(m, name) for name in _WISHES) == 1,
        ),
        Rule(
            "has(self.costOfMiss) == has(self.costOfAlarm)",
            "threshold.costOfMiss and threshold.costOfAlarm belong together",
            lambda m: is_set(m, "cost_of_miss") == is_set(m, "cost_of_alarm"),
        ),
    )
