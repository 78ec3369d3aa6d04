"""Assignment of series to the pods of an Indexed Job."""

import zlib
from dataclasses import dataclass
from typing import Self

from trainyard_trainer.environment import COMPLETION_INDEX_ENV, Environment
from trainyard_trainer.errors import ConfigError


@dataclass(frozen=True)
class Share:
    """The share of pod ``index`` (from 0) of ``count`` pods."""

    index: int
    count: int

    @classmethod
    def of_pod(cls, env: Environment, count: int) -> Self | None:
        """Return the share that Kubernetes assigned to this pod, or ``None`` outside of an Indexed Job.

        Raises
        ------
        ConfigError
            If the index is not a number below ``count``.
        """
        text = env.completion_index
        if not text:
            return None
        if not text.isdecimal() or int(text) >= count:
            raise ConfigError(
                f"{COMPLETION_INDEX_ENV} is {text!r}; with spec.shards {count} it must be a number below {count}"
            )
        return cls(int(text), count)

    def takes(self, series: str) -> bool:
        """Return whether a series belongs to this pod.

        The rule is CRC-32 of the UTF-8 name, because the hash of Python differs per process.
        """
        return zlib.crc32(series.encode()) % self.count == self.index

    @property
    def mark(self) -> str:
        """The name of the checkpoint that marks this share as done."""
        return self._mark(self.index)

    @property
    def marks(self) -> frozenset[str]:
        """The marks of all shares."""
        return frozenset(self._mark(index) for index in range(self.count))

    def __str__(self) -> str:
        return f"shard {self.index + 1} of {self.count}"

    def _mark(self, index: int) -> str:
        return f"shard-{index}-of-{self.count}"
