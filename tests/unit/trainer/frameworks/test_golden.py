"""The saved model is compared with the trained one: numbers within a tolerance, everything else exactly."""

import math

import numpy as np
import pandas as pd
import pytest

from trainyard_trainer.frameworks.base import Golden
from trainyard_trainer.frameworks.golden import as_json, max_difference, signature_of


def frame(**columns: object) -> pd.DataFrame:
    return pd.DataFrame(columns)


@pytest.mark.parametrize(
    ("expected", "found", "difference"),
    [
        (frame(p=[1.0, 2.0]), frame(p=[1.0, 2.0]), 0.0),
        (frame(p=[0.5]), frame(p=[0.6]), 0.1),
        (frame(p=[1000.0]), frame(p=[1001.0]), 0.001),
        (frame(p=[1.0]), frame(p=[math.nan]), math.inf),
        (frame(p=[math.nan]), frame(p=[math.nan]), 0.0),
        (frame(p=[1.0]), frame(q=[1.0]), math.inf),
        (frame(p=[1.0]), frame(p=[1.0, 1.0]), math.inf),
        (frame(p=["a"]), frame(p=["a"]), 0.0),
        (frame(p=["a"]), frame(p=["b"]), math.inf),
    ],
)
def test_differences(expected: pd.DataFrame, found: pd.DataFrame, difference: float) -> None:
    assert max_difference(expected, found) == pytest.approx(difference)


def test_rows_become_plain_json() -> None:
    rows = as_json(
        pd.DataFrame(
            {
                "n": np.array([1, 2]),
                "x": [1.5, math.nan],
                "t": pd.to_datetime(["2026-01-01", None]),
                "c": pd.Categorical(["a", "b"]),
            }
        )
    )
    assert rows.columns == ["n", "x", "t", "c"]
    assert rows.rows == [[1, 1.5, "2026-01-01T00:00:00", "a"], [2, None, None, "b"]]


def test_types_of_the_signature() -> None:
    inputs = pd.DataFrame(
        {"n": [1], "x": [1.5], "b": [True], "t": pd.to_datetime(["2026-01-01"]), "s": ["a"], "c": pd.Categorical(["a"])}
    )
    signature = signature_of(Golden(inputs, pd.DataFrame({"prediction": [1.0]})))
    assert signature is not None
    assert [column.type for column in signature.inputs] == ["long", "double", "boolean", "datetime", "string", "string"]


def test_a_table_with_too_many_columns_has_no_signature() -> None:
    wide = pd.DataFrame([[0.0] * 257], columns=[f"c{number}" for number in range(257)])
    assert signature_of(Golden(wide, pd.DataFrame({"prediction": [1.0]}))) is None
