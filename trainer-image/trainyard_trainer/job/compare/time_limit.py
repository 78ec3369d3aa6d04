"""The time limit of a champion. It predicts in parts; between two parts, the time and the stop request are checked."""

import time
from collections.abc import Callable, Iterator
from typing import Final, Self

from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_trainer.errors import Interrupted
from trainyard_trainer.job.compare.champion import PredictionError

LEAST_SECONDS: Final = 600.0
"""Minimum time for a champion, even if the training was shorter."""

_DEADLINE_SHARE: Final = 0.5
"""Share of the remaining running time. The new model must still be written after the champion has predicted."""

_PART_SECONDS: Final = 1.0
"""Parts grow until one takes this long. Small parts add overhead, and large parts delay a stop."""


class TimeLimit:
    """The time that a champion has for all its predictions in one training, including those of a backtest.

    Parameters
    ----------
    seconds
        Time for predictions only. Other work between two parts is not counted.
    advice
        How the user can avoid the limit, as the end of a message.
    stop
        Returns whether the pod must stop.
    clock
        Returns seconds from an arbitrary start.
    """

    def __init__(
        self, seconds: float, advice: str, stop: Callable[[], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.seconds = seconds
        self._advice, self._stop, self._clock = advice, stop, clock
        self._spent = 0.0

    @classmethod
    def of(cls, spec: TrainingJobSpec, elapsed: float, stop: Callable[[], bool]) -> Self:
        """Return the elapsed time, at least ten minutes, and at most half of the time left until the deadline.

        Parameters
        ----------
        elapsed
            Seconds since the attempt started.
        """
        seconds, advice = max(LEAST_SECONDS, elapsed), "hold out fewer rows"
        if spec.active_deadline_seconds is not None:
            left = _DEADLINE_SHARE * max(0.0, spec.active_deadline_seconds - elapsed)
            if left < seconds:
                seconds, advice = left, "raise spec.activeDeadlineSeconds"
        return cls(seconds, advice, stop)

    def parts(self, count: int, first: int) -> Iterator[slice]:
        """Yield the parts of ``count`` rows or series, in order. The caller predicts one before it requests the next.

        Parameters
        ----------
        first
            Size of the first part. Later parts can be larger.

        Raises
        ------
        PredictionError
            If the time is over and a part is left.
        Interrupted
            If the pod must stop.
        """
        done, size = 0, first
        while done < count:
            if self._stop():
                raise Interrupted(
                    "stopped by a signal while the champion predicted; nothing was registered, the next attempt "
                    "continues from the finished work"
                )
            if self._spent >= self.seconds:
                raise PredictionError(
                    "ChampionTooSlow",
                    f"it had predicted {done / count:.0%} when its {self.seconds:.0f} s were over; {self._advice}",
                )
            part, began = slice(done, min(count, done + size)), self._clock()
            yield part
            took = self._clock() - began
            self._spent += took
            done = part.stop
            if took < _PART_SECONDS:
                size *= 2
