"""Tables larger than one block of Arrow: rare values in late rows are read like values in the head of the file."""

import csv
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.trainer.data.jobs import job, table_of, write
from trainyard_trainer.errors import DataError

BLOCK = 1 << 20
PLAIN = "plain words,1.5\n" * (BLOCK // 8)
"""Two blocks of rows without any special value."""


def read(folder, text):
    return table_of(job(write(folder, "a,y\n" + text)), folder).frame


@pytest.mark.parametrize(
    ("row", "text", "number"),
    [
        ('"one\ntwo",2.5\n', "one\ntwo", 2.5),
        ('"one\n\n,\n",2.5\n', "one\n\n,\n", 2.5),
        ('"said ""so""",2.5', 'said "so"', 2.5),
        ("NA,2.5\n", None, 2.5),
        ("text,NULL\n", "text", None),
        ("text,nan\n", "text", None),
        (f"{'x' * 3 * BLOCK},2.5\n", "x" * 3 * BLOCK, 2.5),
    ],
    ids=["line feed", "line feeds and a separator", "quotes", "no text", "no number", "not a number", "a long row"],
)
def test_rare_values_in_late_rows_are_read(tmp_path, row, text, number):
    frame = read(tmp_path, PLAIN + row)
    assert len(frame) == BLOCK // 8 + 1
    last = frame.iloc[-1].astype(object).where(frame.iloc[-1].notna(), None)
    assert (last["a"], last["y"]) == (text, number)
    assert frame["y"].dtype == "float64"


def test_a_last_line_without_its_quotation_mark_is_reported(tmp_path):
    with pytest.raises(DataError, match=f"opens in line {BLOCK // 8 + 2} and never closes"):
        read(tmp_path, PLAIN + '"cut off,2.5')


@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=st.lists(st.text(st.sampled_from('ab\n,"'), min_size=1, max_size=6), min_size=1, max_size=9),
    filler=st.integers(0, 200),
)
def test_fields_with_special_characters_are_read_back(tmp_path, words, filler):
    rows = [[f"w{word}w", "1.5"] for word in words] * (BLOCK // (40 * len(words)) + 1)
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([["x" * filler, "1.5"], *rows, *rows])
    assert read(tmp_path, text.getvalue())["a"].astype(str).tolist()[1:] == [row[0] for row in [*rows, *rows]]
