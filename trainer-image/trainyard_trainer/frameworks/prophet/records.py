"""The outcome of a series as plain JSON, for the checkpoints of a job."""

import base64
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

import numpy as np

from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.frameworks.prophet.choice import Outcome

PREFIX: Final = "prophet-"
"""Prefix of the names of the pieces."""

_ARRAYS: Final = ("forecast", "golden", "windows")
NEEDED: Final = ("record", "judged")
"""Required fields with models as bytes. Older releases wrote no judged model."""


def outcome_fields(outcome: Outcome) -> dict[str, Any]:
    """Return the fields of an outcome for a piece."""
    fields = asdict(outcome)
    fields |= {name: fields[name].tolist() for name in _ARRAYS}
    return fields | {name: base64.b64encode(fields[name]).decode() for name in NEEDED}


def outcome_of(fields: Mapping[str, Any]) -> Outcome:
    """Read the fields of :func:`outcome_fields`."""
    arrays: dict[str, Floats] = {name: np.array(fields[name], dtype=np.float64) for name in _ARRAYS if name in fields}
    return Outcome(**{**fields, **arrays, **{name: base64.b64decode(fields[name]) for name in NEEDED}})
