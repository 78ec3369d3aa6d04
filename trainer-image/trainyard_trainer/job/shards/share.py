"""Which series a pod of an Indexed Job trains."""

import zlib
from dataclasses import dataclass
from typing import Self

from trainyard_trainer.environment import COMPLETION_INDEX_ENV, Environment
from trainyard_trainer.errors import ConfigError


@dataclass(frozen=True)
class Share:
    """Pod ``index`` (from 0) of ``count``."""

    index: int
    count: int

    @classmethod
    def of_pod(cls, env: Environment, count: int) -> Self | None:
        """Return the share that Kubernetes gave this pod; ``None`` outside of an Indexed Job, where one trains all.

        Raises
        ------
        ConfigError
            If the index is no number below ``count``.
        """
        text = env.completion_index
        if not text:
            return None
        if not text.isdecimal() or int(text) >= count:
            raise ConfigError(
                f"{COMPLETION_INDEX_ENV} is {text!r}, but spec.shards {count} has the indexes below {count}"
            )
        return cls(int(text), count)

    def takes(self, series: str) -> bool:
        """Tell whether a series is this pod's. By CRC-32 of the UTF-8 name: Python's own hash differs per process."""
        return zlib.crc32(series.encode()) % self.count == self.index

    @property
    def mark(self) -> str:
        """The name of the checkpoint that says this share is done."""
        return self._mark(self.index)

    @property
    def marks(self) -> frozenset[str]:
        """Those of all shares."""
        return frozenset(self._mark(index) for index in range(self.count))

    def __str__(self) -> str:
        return f"shard {self.index + 1} of {self.count}"

    def _mark(self, index: int) -> str:
        return f"shard-{index}-of-{self.count}"
