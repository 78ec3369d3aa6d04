"""Numbers in many notations: one notation for each column, chosen by all of its values. Ambiguous ones are reported."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainyard_trainer.data.notation import Notation
from trainyard_trainer.data.values.columns import is_row_number, sentinel_of
from trainyard_trainer.data.values.numbers import read_numbers

NAN = math.nan


def read(*texts: str | None, **known: object):
    return read_numbers(pd.Series(list(texts), dtype=object), Notation(**known))


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1.5", "-2", "+3e2"], [1.5, -2, 300]),
        (["1,5", "2,75", "-"], [1.5, 2.75, NAN]),
        (["1,234", "12,345.5"], [1234, 12345.5]),
        (["1.234", "1.234.567"], [1234, 1234567]),
        (["1.234,5", "12"], [1234.5, 12]),
        (["1 234,5", "999,1"], [1234.5, 999.1]),
        (["1\u202f234,5", "\u00a0999,1"], [1234.5, 999.1]),
        (["1'234.50", "1’234’567.25"], [1234.5, 1234567.25]),
        (["12,34,567", "1,000"], [1234567, 1000]),  # lakh
        (["1,234", "5"], [1234, 5]),
        (["1,230", "987", "2,345"], [1230, 987, 2345]),
        (["1.230", "987", "2.345"], [1230, 987, 2345]),
        (["0.120", "987", "2.345"], [0.12, 987, 2.345]),
        (["12.5%", "3 %", "0"], [12.5, 3, 0]),
        (["$1,234.50", "-$5", "($3.20)"], [1234.5, -5, -3.2]),
        (["5,20 €", "1.000,00 €", "7,5"], [5.2, 1000, 7.5]),
        (["CHF 1'000.50", "CHF 2"], [1000.5, 2]),
        (["120-", "3"], [-120, 3]),
        (["\u22125", "3"], [-5, 3]),
        (["#DIV/0!", "n/a", "--", "(null)", "7"], [NAN, NAN, NAN, NAN, 7]),
        ([None, "7"], [NAN, 7]),
    ],
)
def test_notations(texts, values):
    found = read(*texts)
    assert not found.bad.any()
    np.testing.assert_array_equal(found.values, values)


@pytest.mark.parametrize(
    "text",
    ["abc", "2024-01-01", "12:30", "10.0.0.1", "1.2.3", "12 kg", "A12", "1,23,4", "5-3", "$", "1 2", "--5", "% 5"],
)
def test_texts_that_are_not_numbers(text):
    found = read(text, "1,5", "2,5")
    assert found.bad.tolist() == [True, False, False]
    assert math.isnan(found.values[0])


def test_an_ambiguous_column_has_a_doubt():
    assert read("1,234", "5,678").doubt == "'1,234' can be 1234 or 1.234"
    assert read("1,234", "5,678", "1,2").doubt == ""
    assert read("1,234", decimal=",", is_given=True).values.tolist() == [1.234]
    assert read("1,234", thousands=",", is_given=True).values.tolist() == [1234]
    assert read("1,234", decimal=".").values.tolist() == [1234]  # the notation of the rest of the file
    assert read("1.234", decimal=",").values.tolist() == [1234]


def test_the_notation_of_the_user_is_not_overridden():
    found = read("1,234,567", "2,5", decimal=",", is_given=True)
    assert found.bad.tolist() == [True, False]


def test_percentages_and_numbers_are_not_mixed():
    assert read("12%", "5%", "0.3").bad.tolist() == [False, False, True]
    assert read("$5", "€5", "$7").bad.tolist() == [False, True, False]


def test_the_notation_is_reported():
    found = read("1.234,5 €", "-", "-", "7 €")
    assert found.describe() == "decimal sign ',', thousands separator '.', in €"
    assert found.describe_marks() == "'-' 2 times"
    assert read("1", "2.5").describe() == ""


NOTATIONS = [(".", ""), (",", ""), (".", ","), (",", "."), (",", " "), (".", "'"), (".", " "), (",", "\u00a0")]


@settings(deadline=None, max_examples=150)
@given(
    notation=st.sampled_from(NOTATIONS),
    digits=st.integers(0, 4),
    numbers=st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=20),
    unit=st.sampled_from(["", "%", "€ "]),
)
def test_a_written_column_is_read_back_or_has_a_doubt(notation, digits, numbers, unit):
    decimal, thousands = notation
    values = [number / 10**digits for number in numbers]
    texts = [f"{value:,.{digits}f}".replace(",", "T").replace(".", decimal).replace("T", thousands) for value in values]
    written = [text + unit if unit == "%" else unit + text for text in texts]
    found = read(*written)
    if found.doubt or (digits == 3 and decimal == "." and thousands == ""):
        return
    assert not found.bad.any()
    # Integers with points between thousands look like fractions of three digits, unless a value has two points.
    ambiguous = digits == 0 and thousands == "." and all(abs(value) < 1e6 for value in values)
    if not ambiguous:
        np.testing.assert_allclose(found.values, values, atol=1e-9)


def test_sentinels_repeat_and_are_far_from_other_values():
    usual = np.random.default_rng(1).normal(20, 5, 200)
    spoiled = np.where(np.arange(200) % 20 == 0, -999.0, usual)
    assert sentinel_of(spoiled) == -999
    assert sentinel_of(usual) is None
    assert sentinel_of(np.where(np.arange(200) == 3, -999.0, usual)) is None  # a single one may be a real value
    assert sentinel_of(np.append(np.linspace(-2000, 2000, 200), [-999.0] * 5)) is None
    assert sentinel_of(np.append(usual, [9999.0] * 5)) == 9999
    assert sentinel_of(np.append(usual, [1234.0] * 5)) is None
    assert sentinel_of(np.full(10, -999.0)) is None


def test_row_numbers():
    rows = np.arange(100)
    assert is_row_number(pd.Series(rows), rows)
    assert is_row_number(pd.Series(rows + 1), rows)
    assert is_row_number(pd.Series(np.tile(np.arange(50), 2)), rows)  # of two files
    assert is_row_number(pd.Series(rows[rows != 7]), rows[rows != 7])  # a row was left out
    assert not is_row_number(pd.Series(rows * 2), rows)
    assert not is_row_number(pd.Series(rows + 1000), rows)
    assert not is_row_number(pd.Series(rows.astype(float)), rows)
    assert not is_row_number(pd.Series(np.arange(10)), np.arange(10))
    assert not is_row_number(pd.Series(np.tile([0, 1], 50)), rows)
