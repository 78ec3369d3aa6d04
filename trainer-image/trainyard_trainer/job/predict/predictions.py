"""Predictions on their way to an output."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from trainyard_trainer.outputs.base import Facts


@dataclass(frozen=True)
class Predictions:
    """Predictions, part by part.

    Attributes
    ----------
    tables
        The parts, each with ``schema``. They are predicted when the output asks for them.
    warnings
        Returns the warnings after the last part.
    """

    schema: pa.Schema
    tables: Iterator[pa.Table]
    facts: Facts
    warnings: Callable[[], tuple[str, ...]]
