"""The five stages and their share of the way."""

from enum import Enum


class Stage(Enum):
    """A stage's name in logs and reports, and the percentages where it starts and ends (DESIGN section 5)."""

    LOAD = ("load", 0, 20)
    PREPROCESS = ("preprocess", 20, 40)
    TRAIN = ("train", 40, 70)
    EVALUATE = ("evaluate", 70, 85)
    REGISTER = ("register", 85, 100)

    def __init__(self, label: str, start: int, end: int) -> None:
        self.label = label
        self.start = start
        self.end = end

    def percentage(self, fraction: float) -> int:
        """Return the percentage of the whole for a fraction of this stage, 0 to 1; what lies outside is cut."""
        inside = min(1.0, max(0.0, fraction))
        return int(self.start + inside * (self.end - self.start))
