"""A table is read back with the same values, for any separator, decimal sign, encoding, line end and compression.

If no value shows whether a comma separates thousands or a fraction, the column stays text, and training refuses it.
"""

import csv
import gzip
import io

import pytest
import zstandard
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.unit.trainer.data.jobs import job, table_of, write

ENCODINGS = ("utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16")
PACKS = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}
_WORDS = st.text(st.characters(codec="latin-1", categories=["L", "Zs", "P"]), max_size=8).map(lambda word: f"w{word}w")
_NUMBERS = st.integers(-(10**7), 10**7).map(lambda number: number + 0.125)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    separator=st.sampled_from(",;\t|"),
    decimal=st.sampled_from(".,"),
    encoding=st.sampled_from(ENCODINGS),
    line_end=st.sampled_from(["\n", "\r\n"]),
    pack=st.sampled_from(sorted(PACKS)),
    rows=st.lists(st.tuples(_WORDS, _NUMBERS), min_size=3, max_size=12),
)
def test_a_written_table_is_read_back(tmp_path, separator, decimal, encoding, line_end, pack, rows):
    # "1,125" alone may be a thousand in English: see dialect.detect.
    assume(separator != "," or decimal != "," or any(abs(number) > 1000 for _, number in rows))
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, lineterminator=line_end)
    writer.writerow(["größe", "y"])
    writer.writerows([word, f"{number:.3f}".replace(".", decimal)] for word, number in rows)
    path = write(tmp_path, PACKS[pack](text.getvalue().encode(encoding, "replace")), f"t.csv{pack}")
    frame = table_of(job(path, data={"csv": {"encoding": encoding}}), tmp_path).frame
    expected = [word.encode(encoding, "replace").decode(encoding) for word, _ in rows]
    assert list(frame.columns) == ["größe", "y"]
    assert frame["größe"].astype(str).tolist() == expected
    written = [f"{number:.3f}".replace(".", decimal) for _, number in rows]
    if decimal == "," and all(1 <= abs(number) < 1000 for _, number in rows):
        assert frame["y"].astype(str).tolist() == written, "ambiguous numbers must stay text"
    else:
        assert frame["y"].tolist() == [number for _, number in rows]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_a_broken_line_in_a_wide_encoding_is_named(tmp_path, encoding):
    path = write(tmp_path, "a,y\n1,2\n3,4,5\n".encode(encoding))
    with pytest.raises(Exception, match="line 3 has 3 fields"):
        table_of(job(path, data={"csv": {"encoding": encoding}}), tmp_path)
