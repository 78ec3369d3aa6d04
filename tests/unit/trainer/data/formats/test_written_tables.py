"""A table in the styles of many programs is read with the same values or refused, never read with other values."""

import csv
import io
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.trainer.data.jobs import dataset_of, job, table_of, write
from trainyard_trainer.data.formats import delimited
from trainyard_trainer.errors import DataError

ROWS = 60


@dataclass(frozen=True)
class Style:
    separator: str
    decimal: str
    thousands: str
    quoting: int
    null: str
    encoding: str
    line_end: str
    lines_above: tuple[str, ...]
    comment: bool
    repeated_header: bool
    trailing_separators: int
    padded: bool
    index: bool
    unit: str

    @property
    def is_possible(self) -> bool:
        """Whether a reader can know the notation: each sign has one meaning, and spaces only separate columns."""
        return self.decimal != self.thousands and not (
            self.separator == " " and (self.trailing_separators or self.padded)
        )


STYLES = st.builds(
    Style,
    separator=st.sampled_from([",", ";", "\t", "|", " "]),
    decimal=st.sampled_from([".", ","]),
    thousands=st.sampled_from(["", "", ",", ".", " ", "'"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    null=st.sampled_from(["", "NA", "null", "N/A", "-", "#N/A", "NaN"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16"]),
    line_end=st.sampled_from(["\n", "\r\n"]),
    lines_above=st.sampled_from([(), ("Umsätze, Stand heute",), ("# made by hand", "", "Report; 2026")]),
    comment=st.booleans(),
    repeated_header=st.booleans(),
    trailing_separators=st.sampled_from([0, 0, 1, 2]),
    padded=st.booleans(),
    index=st.booleans(),
    unit=st.sampled_from(["", "%", "€"]),
).filter(lambda style: style.is_possible)


def known_table(seed: int) -> pd.DataFrame:
    chance = np.random.default_rng(seed)
    a = chance.normal(0, 10 ** chance.integers(0, 7), ROWS).round(2)
    return pd.DataFrame(
        {
            "größe": np.where(chance.random(ROWS) < 0.1, np.nan, a),
            "ort": chance.choice(["Köln", "Genf, Süd", "NA", "Rom"], ROWS),
            "y": chance.gamma(2, 10 ** chance.integers(0, 5), ROWS).round(2),
        }
    )


def written(table: pd.DataFrame, style: Style) -> bytes:
    def number(value: float, unit: str) -> str:
        text = f"{value:,.2f}".replace(",", "T").replace(".", style.decimal).replace("T", style.thousands)
        return text + unit

    text = io.StringIO(newline="")
    separator = ", " if style.padded and style.separator == "," else style.separator
    writer = csv.writer(text, delimiter=style.separator, quoting=style.quoting, lineterminator=style.line_end)
    empty = [""] * style.trailing_separators
    header = [*([""] if style.index else []), *table.columns, *empty]
    writer.writerow(header)
    for row_number, row in enumerate(table.itertuples(index=False)):
        if style.comment and row_number == 20:
            text.write("# checked" + style.line_end)
        if style.repeated_header and row_number == 40:
            writer.writerow(header)
        first = style.null if np.isnan(row[0]) else number(row[0], style.unit)
        writer.writerow([*([row_number] if style.index else []), first, row[1], number(row[2], ""), *empty])
    body = text.getvalue()
    if separator == ", " and '"' not in body:
        body = body.replace(",", ", ")
    preamble = "".join(line + style.line_end for line in style.lines_above)
    return (preamble + body).encode(style.encoding)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(style=STYLES, seed=st.integers(0, 10**6))
def test_a_written_table_is_read_correctly_or_refused(tmp_path, style, seed):
    table = known_table(seed)
    encoding = "utf-8" if style.encoding == "utf-8-sig" else style.encoding
    path = write(tmp_path, written(table, style))
    try:
        dataset = dataset_of(job(path, data={"csv": {"encoding": encoding}}), tmp_path)
    except DataError:
        return
    np.testing.assert_allclose(dataset.frame["y"], table["y"])
    np.testing.assert_allclose(dataset.frame["größe"], table["größe"])


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("decimal", [".", ","])
def test_a_common_style_is_read(tmp_path, separator, decimal):
    """The test above would also pass for a reader that refuses every table. These tables must be read."""
    style = Style(
        *(separator, decimal, "", csv.QUOTE_MINIMAL, "NA", "utf-8", "\n", ("# made by hand", "Report")),
        *(True, True, 2, False, True, "%"),
    )
    table = known_table(3)
    dataset = dataset_of(job(write(tmp_path, written(table, style))), tmp_path)
    np.testing.assert_allclose(dataset.frame["y"], table["y"])
    np.testing.assert_allclose(dataset.frame["größe"], table["größe"])
    reported = {finding.code for finding in dataset.findings}
    assert {"NumberFormat", "RepeatedHeader", "RowNumbers"} <= reported


ROWS_OF_TWO = "".join(f"{number % 7},{number * 1.5}\n" for number in range(ROWS))


@pytest.mark.parametrize(
    ("text", "options", "columns"),
    [
        ("sep=;\n" + "a;y\n" + ROWS_OF_TWO.replace(",", ";"), {}, ["a", "y"]),
        ("a y\n" + ROWS_OF_TWO.replace(",", "   "), {}, ["a", "y"]),
        ("# a  y\n" + ROWS_OF_TWO.replace(",", "  "), {}, ["a", "y"]),
        ("#a,y\n" + ROWS_OF_TWO, {}, ["a", "y"]),
        (" a , y\n" + ROWS_OF_TWO, {}, ["a", "y"]),
        ("a,y,,\n" + ROWS_OF_TWO.replace("\n", ",,\n"), {}, ["a", "y"]),
        ("a,y\n" + ROWS_OF_TWO.replace("\n", ",,\n"), {}, ["a", "y"]),
        ("a,y,\n" + ROWS_OF_TWO, {}, ["a", "y"]),
        ('"a","y"\n' + "".join(f'"{n}",{n % 5},{n * 2}\n' for n in range(1, ROWS)), {}, ["Unnamed: 0", "a", "y"]),
        ("two\nlines\na,y\n" + ROWS_OF_TWO, {"skipLines": 2}, ["a", "y"]),
        ("a,y\n% no row\n" + ROWS_OF_TWO, {"comment": "%"}, ["a", "y"]),
        ("a,y,b,b\n" + ROWS_OF_TWO.replace("\n", ",1,2\n"), {}, ["a", "y"]),
    ],
)
def test_headers_and_lines(tmp_path, text, options, columns):
    frame = table_of(job(write(tmp_path, text), data={"csv": options}), tmp_path).frame
    assert list(frame.columns) == columns
    assert frame["y"].dtype.kind in "if"


def test_a_table_without_a_header(tmp_path):
    path = write(tmp_path, ROWS_OF_TWO)
    with pytest.raises(DataError, match=r"looks like a row.*data\.csv\.header to Absent"):
        table_of(job(path), tmp_path)
    for options in ({"header": "Absent"}, {}):
        frame = table_of(job(path, target="column2", data={"csv": options}), tmp_path).frame
        assert list(frame.columns) == ["column1", "column2"]
        assert len(frame) == ROWS


def test_a_repeated_name_of_a_required_column_is_refused(tmp_path):
    path = write(tmp_path, "a,y,a\n" + ROWS_OF_TWO.replace("\n", ",1\n"))
    with pytest.raises(DataError, match="same name: 'a'"):
        table_of(job(path, data={"features": ["a"]}), tmp_path)
    reported = table_of(job(path), tmp_path).findings
    assert [finding.code for finding in reported] == ["RepeatedNames"]


def test_words_for_a_missing_value(tmp_path):
    text = "s,y\n" + 'NA,1\n"NA",2\nnone,3\n,4\n"",5\n'
    frame = table_of(job(write(tmp_path, text)), tmp_path).frame
    assert frame["s"].isna().tolist() == [True, False, False, True, True]
    frame = table_of(job(write(tmp_path, text), data={"csv": {"nulls": ["none"]}}), tmp_path).frame
    assert frame["s"].isna().tolist() == [False, False, True, True, True]
    frame = table_of(job(write(tmp_path, "s,y\nx,-1\nz,2\n"), data={"csv": {"nulls": ["-1"]}}), tmp_path).frame
    assert frame["y"].isna().tolist() == [True, False]


def test_a_quoted_empty_value_is_missing_in_every_block(tmp_path, monkeypatch):
    """Arrow reads blocks, and each block has its own dictionary."""
    monkeypatch.setattr(delimited, "_SMALL_BLOCK", 1 << 10)
    monkeypatch.setattr(delimited, "_BLOCK", 1 << 10)
    lines = [f'"{"" if number == 900 else "word"}",{number}\n' for number in range(1000)]
    frame = table_of(job(write(tmp_path, "s,y\n" + "".join(lines))), tmp_path).frame
    assert np.flatnonzero(frame["s"].isna()).tolist() == [900]


def test_thousands_in_a_target(tmp_path):
    unsure = "x,y\n" + "".join(f'{n % 7},"{n},123"\n' for n in range(1, ROWS))
    with pytest.raises(DataError, match=r"'1,123' can be 1123 or 1\.123.*data\.csv\.thousands"):
        dataset_of(job(write(tmp_path, unsure)), tmp_path)
    for option, first in (({"thousands": ","}, 1123), ({"decimal": ","}, 1.123)):
        dataset = dataset_of(job(write(tmp_path, unsure), data={"csv": option}), tmp_path)
        assert dataset.frame["y"].iloc[0] == first


def test_points_as_thousands_separators(tmp_path):
    text = "x;y\n" + "".join(
        f"{n % 7};{n * 100 if n < 10 else f'{n * 100:,}'.replace(',', '.')}\n" for n in range(ROWS)
    )
    dataset = dataset_of(job(write(tmp_path, text)), tmp_path)
    assert dataset.frame["y"].tolist() == [n * 100 for n in range(ROWS)]


def test_partition_folders_are_columns(tmp_path):
    for store in ("s1", "007"):
        (tmp_path / f"store={store}").mkdir()
        write(tmp_path / f"store={store}", "a,y\n" + ROWS_OF_TWO, "part.csv")
    table = table_of(job(f"file://{tmp_path}/store=*/*.csv", data={"features": ["a", "store"]}), tmp_path)
    assert table.frame["store"].astype(str).tolist() == ["007"] * ROWS + ["s1"] * ROWS


@pytest.mark.parametrize(
    "column",
    [
        pd.array([None, *range(ROWS - 1)], dtype="Int64"),
        pd.array([None, *np.arange(ROWS - 1) / 2], dtype="Float64"),
        pd.Categorical([1, 2, 3] * (ROWS // 3)),
        pa.array([None, *range(ROWS - 1)], pa.decimal128(10, 2)).to_pandas(),
        pd.array([None, *[True, False] * (ROWS // 2)][:ROWS], dtype="boolean"),
    ],
    ids=["Int64", "Float64", "category", "decimal", "boolean"],
)
def test_types_of_parquet_are_numbers(tmp_path, column):
    frame = pd.DataFrame({"a": column, "y": np.arange(float(ROWS))})
    frame.to_parquet(tmp_path / "t.parquet")
    dataset = dataset_of(job(tmp_path / "t.parquet"), tmp_path)
    expected = pd.to_numeric(pd.Series(frame["a"].astype(object)), errors="coerce").astype(float)
    np.testing.assert_array_equal(dataset.frame["a"].astype(float), expected)


def test_an_index_is_a_column(tmp_path):
    frame = pd.DataFrame({"y": np.arange(60.0)}, index=pd.date_range("2026-01-01", periods=60, name="ds"))
    frame.to_parquet(tmp_path / "t.parquet")
    assert dataset_of(job(tmp_path / "t.parquet", task="Forecast"), tmp_path).rows == 60


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_integer_ids_stay_integers_if_one_is_missing(tmp_path, form):
    ids = pd.array([101] * 40 + [102] * 40 + [None], dtype="Int64")
    days = [*pd.date_range("2026-01-01", periods=40).astype(str)] * 2 + ["2026-01-01"]
    frame = pd.DataFrame({"id": ids, "ds": days, "y": np.arange(81.0)})
    path = tmp_path / f"t.{form}"
    frame.to_parquet(path) if form == "parquet" else frame.to_json(path, orient="records", lines=True)
    dataset = dataset_of(job(path, task="Forecast", data={"series": "id"}), tmp_path)
    assert [one.name for one in dataset.series] == ["101", "102"]


def test_a_sentinel_is_missing_unless_the_user_sets_nulls(tmp_path):
    chance = np.random.default_rng(1)
    frame = pd.DataFrame(
        {"a": chance.normal(20, 3, ROWS), "b": chance.normal(0, 1, ROWS), "y": chance.normal(0, 1, ROWS)}
    )
    frame.loc[::10, "a"] = -999
    path = write(tmp_path, frame.to_csv(index=False))
    dataset = dataset_of(job(path), tmp_path)
    assert dataset.frame["a"].isna().sum() == 6
    assert dataset.sentinels == {"a": -999.0}
    assert "6 values of 'a' are -999" in next(f.message for f in dataset.findings if f.code == "Sentinel")
    assert dataset_of(job(path, data={"csv": {"nulls": []}}), tmp_path).sentinels == {}
