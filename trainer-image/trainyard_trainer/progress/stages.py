"""The stages and their share of the total progress."""

from enum import Enum


class Stage(Enum):
    """A stage: its name in logs and reports, and the percentages at its start and end (DESIGN section 5)."""

    LOAD = ("load", 0, 20)
    PREPROCESS = ("preprocess", 20, 40)
    TRAIN = ("train", 40, 70)
    EVALUATE = ("evaluate", 70, 85)
    REGISTER = ("register", 85, 100)
    PREDICT = ("predict", 40, 100)
    """A PredictionJob predicts and writes after it has loaded and checked the data."""

    def __init__(self, label: str, start: int, end: int) -> None:
        self.label = label
        self.start = start
        self.end = end

    def percentage(self, fraction: float) -> int:
        """Return the total percentage for a fraction of this stage. The fraction is clipped to [0, 1]."""
        inside = min(1.0, max(0.0, fraction))
        return int(self.start + inside * (self.end - self.start))
