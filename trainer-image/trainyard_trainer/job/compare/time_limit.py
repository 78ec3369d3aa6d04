"""How long a champion may take. It answers part by part; between two parts, its time and the pod's stop are checked."""

import time
from collections.abc import Callable, Iterator
from typing import Final, Self

from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_trainer.errors import Interrupted
from trainyard_trainer.job.compare.champion import PredictionError

LEAST_SECONDS: Final = 600.0
"""A champion has this time at least, however short the training was."""

_DEADLINE_SHARE: Final = 0.5
"""Of the running time that is left: the new model is still to be written when the champion has answered."""

_PART_SECONDS: Final = 1.0
"""Parts grow until one takes so long. Small ones cost more than they are worth, large ones let the stop wait."""


class TimeLimit:
    """The time that a champion has for all its answers of one training, a backtest's included.

    Parameters
    ----------
    seconds
        Of answering alone; what the training does between two parts is not counted.
    advice
        How the user gets it more time, as the end of a message.
    stop
        Whether the pod was asked to end.
    clock
        Seconds, from any start.
    """

    def __init__(
        self, seconds: float, advice: str, stop: Callable[[], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.seconds = seconds
        self._advice, self._stop, self._clock = advice, stop, clock
        self._spent = 0.0

    @classmethod
    def of(cls, spec: TrainingJobSpec, elapsed: float, stop: Callable[[], bool]) -> Self:
        """Return what the attempt has taken until now, at least ten minutes, at most half of what its deadline leaves.

        Parameters
        ----------
        elapsed
            Seconds since the attempt began.
        """
        seconds, advice = max(LEAST_SECONDS, elapsed), "hold out fewer rows"
        if spec.active_deadline_seconds is not None:
            left = _DEADLINE_SHARE * max(0.0, spec.active_deadline_seconds - elapsed)
            if left < seconds:
                seconds, advice = left, "raise spec.activeDeadlineSeconds"
        return cls(seconds, advice, stop)

    def parts(self, count: int, first: int) -> Iterator[slice]:
        """Yield the parts of ``count`` rows or series, in order; the caller answers one before it asks for the next.

        Parameters
        ----------
        first
            How many the first part has; the next ones have more.

        Raises
        ------
        CannotAnswer
            If the time is over and something is left to answer.
        Interrupted
            If the pod was asked to end.
        """
        done, size = 0, first
        while done < count:
            if self._stop():
                raise Interrupted(
                    "stopped by a signal while the champion answered; nothing was registered, the next attempt goes on "
                    "with what is finished"
                )
            if self._spent >= self.seconds:
                raise PredictionError(
                    "ChampionTooSlow",
                    f"it had answered {done / count:.0%} when its {self.seconds:.0f} s were over; {self._advice}",
                )
            part, began = slice(done, min(count, done + size)), self._clock()
            yield part
            took = self._clock() - began
            self._spent += took
            done = part.stop
            if took < _PART_SECONDS:
                size *= 2
