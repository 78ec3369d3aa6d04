"""Detection of separator, decimal sign and header. The message about a broken table names the line."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainyard_trainer.data.formats.diagnosis import diagnose
from trainyard_trainer.data.formats.dialect import Dialect, check_encoding, detect
from trainyard_trainer.errors import ConfigError, DataError

_WORDS = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Zs"]), min_size=1, max_size=8)
_NUMBERS = st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 3) + 0.0001)


@settings(deadline=None, max_examples=60)
@given(
    separator=st.sampled_from(",;\t|"),
    decimal=st.sampled_from(".,"),
    rows=st.lists(st.tuples(_WORDS, _NUMBERS, _NUMBERS), min_size=3, max_size=20),
)
def test_the_dialect_of_a_csv_writer_is_detected(separator, decimal, rows):
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, quoting=csv.QUOTE_MINIMAL, lineterminator="\n")
    writer.writerow(["name, of; it", "first", "second"])
    for word, a, b in rows:
        writer.writerow([word, *(f"{x:.4f}".replace(".", decimal) for x in (a, b))])

    found = detect(text.getvalue().encode(), complete=True, expected=("first",))

    assert found.separator == separator
    assert found.decimal == decimal
    assert found.header == ("name, of; it", "first", "second")


@pytest.mark.parametrize(
    ("head", "separator", "decimal"),
    [
        ("date;qty\n2026-01-01;1,5\n2026-01-02;2,5\n", ";", ","),
        ("city, country;qty\nLyon, FR;1,5\n", ";", ","),
        ('a,b\n"1,5","2,25"\n', ",", ","),
        ('a,b\n"1,500","2,250"\n', ",", "."),
        ("a;b\n0,125;1\n", ";", ","),
        ("a\tb\n1.5\t2\n", "\t", "."),
        ("only\n1\n2\n", ",", "."),
        ("\ufeffa|b\n1|2\n", "|", "."),
        ("\n\na,b\n1,2\n", ",", "."),
    ],
)
def test_detection(head, separator, decimal):
    found = detect(head.encode(), complete=True, expected=("qty",))
    assert (found.separator, found.decimal) == (separator, decimal)
    assert not found.header[0].startswith("\ufeff")


def test_a_cut_off_last_line_is_ignored():
    assert detect(b"a,b\n1,2\n1;2;3", complete=False).separator == ","


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"a,b\n1,caf\xe9\n", "byte 0xe9 at offset 9 (line 2)"),
    ],
)
def test_bad_heads_are_named(head, words):
    with pytest.raises(DataError) as caught:
        detect(head, complete=True)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'a,b\n1,2\n3,"four\n5,6\n', "opens in line 3 and never closes"),
        (b'a,b\n1,"x\ny"\n"u\nv","w\n5,6\n', "opens in line 5 and never closes"),
        (b"a,b\n1,2\n3,4,5\n", "line 3 has 3 fields, but the header has 2"),
        (b'a,b\n"x\ny",2\n3\n', "line 4 has 1 fields, but the header has 2"),
        (b"a,b\n1,2\n3,\xff\n", "byte 0xff at offset 10 (line 3)"),
    ],
)
def test_diagnosis_names_the_line(text, words):
    message = diagnose(io.BytesIO(text), Dialect(",", ".", "utf-8", ("a", "b")))
    assert message is not None
    assert words in message


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00\r")), min_size=2, max_size=2)))
def test_a_sound_table_has_no_diagnosis(rows):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([["a", "b"], *rows])
    assert diagnose(io.BytesIO(text.getvalue().encode()), Dialect(",", ".", "utf-8", ("a", "b"))) is None


def test_unknown_encodings_are_refused():
    assert check_encoding("UTF8") == "utf-8"
    with pytest.raises(ConfigError, match="utf-9"):
        check_encoding("utf-9")
