"""Inputs and outputs of a network for tables. This module only needs NumPy and pandas, so a server does not need Torch.

Numbers are standardized in double precision by mean and standard deviation of the training part. A missing value
becomes the mean. If the feature had missing values in training, an extra column marks them. Text features become codes;
0 means missing or unseen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_trainer.errors import DataError

PREDICTION: Final = "prediction"
NUMBERS: Final = "numbers"
CODES: Final = "codes"

_FURTHEST: Final = 10.0
"""Limit in standard deviations from the mean. Larger values are clipped, because the training had none."""

Tensors = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of a column. ``gaps`` is true if it had missing values in training."""

    mean: float
    spread: float
    gaps: bool = False

    @classmethod
    def of(cls, values: npt.NDArray[np.float64]) -> "Scale":
        """Compute the scale of a column. NaN is missing. For a constant column, the standard deviation is set to 1."""
        known = values[~np.isnan(values)]
        if len(known) == 0:
            return cls(0.0, 1.0, gaps=True)
        spread = float(known.std())
        return cls(float(known.mean()), spread if spread > 0 else 1.0, gaps=len(known) < len(values))

    def standardised(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return standardized values, NaN if missing."""
        return (values - self.mean) / self.spread


@dataclass(frozen=True)
class Description:
    """The metadata of a network for tables.

    Attributes
    ----------
    features
        Feature names in order.
    categories
        The values of each text feature, in the order of their codes, which start with 1.
    classes
        The values of the target in the order of the outputs. Empty for numbers.
    scales
        Scale of each numeric feature.
    target_scale
        Scale of a numeric target.
    threshold
        With two classes, the probability threshold of the second one, which is the positive class.
    threshold_by
        How it was chosen.
    hidden
        The widths of the network's layers.
    sentinels
        Numbers that mean a missing value, by feature.
    """

    target: str
    features: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]
    classes: tuple[str, ...]
    scales: Mapping[str, Scale]
    target_scale: Scale | None
    hidden: tuple[int, ...]
    dropout: float
    threshold: float | None = None
    threshold_by: str = ""
    sentinels: Mapping[str, float] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """The number of input columns: one per numeric feature, and one more per feature with missing values."""
        return len(self.scales) + sum(scale.gaps for scale in self.scales.values())

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Description":
        """Read the fields of ``dataclasses.asdict``."""
        return cls(
            target=fields["target"],
            features=tuple(fields["features"]),
            categories={name: tuple(values) for name, values in fields["categories"].items()},
            classes=tuple(fields["classes"]),
            scales={name: Scale(**scale) for name, scale in fields["scales"].items()},
            target_scale=Scale(**fields["target_scale"]) if fields["target_scale"] else None,
            hidden=tuple(fields["hidden"]),
            dropout=fields["dropout"],
            threshold=fields["threshold"],
            threshold_by=fields.get("threshold_by", ""),  # older artifacts have neither this nor sentinels
            sentinels=fields.get("sentinels", {}),
        )


def tensors_of(description: Description, rows: pd.DataFrame) -> Tensors:
    """Return the input tensors of the network.

    Returns
    -------
    ``numbers``, float32 of shape (rows, ``description.width``), and ``codes``, int64 of shape (rows, text features); a
    tensor without columns is left out.

    Raises
    ------
    DataError
        If a feature is missing, or is text but must be a number.
    """
    missing = [name for name in description.features if name not in rows.columns]
    if missing:
        raise DataError(
            f"the input lacks the feature {missing[0]!r}; the model needs {', '.join(description.features)}"
        )
    found: Tensors = {}
    if description.scales:
        found[NUMBERS] = _numbers(description, rows)
    if description.categories:
        codes = [_codes(rows[name], values) for name, values in description.categories.items()]
        found[CODES] = np.column_stack(codes).astype(np.int64)
    return found


def predictions(description: Description, outputs: npt.NDArray[Any]) -> pd.DataFrame:
    """Return the table for the caller.

    Parameters
    ----------
    outputs
        Standardized numbers, shape (rows, 1), or probabilities, shape (rows, classes).

    Returns
    -------
    ``prediction``, a number or the name of a class. For classes, also ``probability:<class>`` for each.
    """
    if description.target_scale is not None:
        values = outputs.astype(np.float64)
        return pd.DataFrame(
            {PREDICTION: values[:, 0] * description.target_scale.spread + description.target_scale.mean}
        )
    values = probabilities(outputs)
    if description.threshold is not None:
        called = (values[:, 1] >= description.threshold).astype(np.intp)
    else:
        called = np.asarray(values.argmax(axis=1), dtype=np.intp)
    names = np.array(description.classes, dtype=object)
    columns = {f"probability:{name}": values[:, number] for number, name in enumerate(description.classes)}
    return pd.DataFrame({PREDICTION: names[called], **columns})


def probabilities(outputs: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return probabilities in double precision. In single precision, their sum is only approximately 1."""
    values = outputs.astype(np.float64)
    return np.asarray(values / values.sum(axis=1, keepdims=True))


def _numbers(description: Description, rows: pd.DataFrame) -> npt.NDArray[np.float32]:
    columns: list[npt.NDArray[np.float64]] = []
    marks: list[npt.NDArray[np.float64]] = []
    for name, scale in description.scales.items():
        try:
            raw = pd.to_numeric(rows[name]).to_numpy(dtype=np.float64, na_value=np.nan)
        except (ValueError, TypeError) as error:
            raise DataError(f"feature {name!r} of the input must hold numbers: {error}") from error
        missing = ~np.isfinite(raw)
        if name in description.sentinels:
            missing |= raw == description.sentinels[name]
        columns.append(np.where(missing, 0.0, np.clip(scale.standardised(raw), -_FURTHEST, _FURTHEST)))
        if scale.gaps:
            marks.append(missing.astype(np.float64))
    return np.column_stack([*columns, *marks]).astype(np.float32)


def _codes(column: "pd.Series[Any]", values: tuple[str, ...]) -> npt.NDArray[np.intp]:
    """Return codes: 1 for the first of ``values``, and 0 for a value that is not in ``values``."""
    if isinstance(column.dtype, pd.CategoricalDtype) and tuple(column.cat.categories) == values:
        return np.asarray(column.cat.codes, dtype=np.intp) + 1
    text = column.map(str, na_action="ignore").astype(object)
    return np.asarray(pd.Categorical(text, categories=list(values)).codes, dtype=np.intp) + 1
