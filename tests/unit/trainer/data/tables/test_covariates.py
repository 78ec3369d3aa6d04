"""Covariates are fetched in parallel. An optional one that fails is left out, and a required one ends the job."""

import logging
import threading
import time

import pytest
import requests
import tenacity

from tests.unit.trainer.data.jobs import environment, job, write
from tests.unit.trainer.data.sources.test_sources import Pages, never
from trainyard_trainer.data.sources.buckets import S3Store
from trainyard_trainer.data.sources.files import Ways
from trainyard_trainer.data.sources.pages import Http
from trainyard_trainer.data.tables.covariates import Circuit, gather
from trainyard_trainer.errors import DataError, Interrupted, NotPermitted, UpstreamUnavailable

WEATHER = b"day,product,temp,text\n2026-01-02,a,3,x\n2026-01-01,b,1,y\n2026-01-01,b,2,y\n"
PAGE = "https://weather.example/t.csv"
QUICK = {"wait": tenacity.wait_none()}


def covariate(uri, name="weather", **changes):
    return {"name": name, "uri": str(uri), "time": "day", "columns": ["temp"], **changes}


def collect(folder, *covariates, pages=None, stop=never, circuit=None, task="Forecast", **data):
    config = job("s3://sales/t.csv", task=task, data={"time": "ds", "covariates": list(covariates), **data})
    session = requests.Session()
    session.mount("https://", pages or Pages((200, {}, WEATHER)))
    ways = Ways(environment(folder), S3Store(lambda: None), Http(lambda: session, **QUICK))
    circuits = [circuit] * 2 if circuit else [Circuit(5, 60, **QUICK), Circuit(3, 30, **QUICK)]
    return gather(config.spec, ways, folder, stop, *circuits)


def test_a_covariate_is_read_sorted_and_named(tmp_path):
    got = collect(tmp_path, covariate(PAGE, knownInFuture=True), series="product")
    (table,) = got.tables
    assert table.columns == ("weather.temp",)
    assert (table.keyed, table.known_in_future) == (True, True)
    assert table.frame.to_numpy().tolist() == [
        [table.frame["time"].min(), "b", 2.0],
        [table.frame["time"].max(), "a", 3.0],
    ]
    assert [(one.code, one.count) for one in got.findings] == [("CovariateDuplicates", 1)]
    assert got.digests[0][0] == "weather"


def test_without_the_series_column_it_applies_to_all_series(tmp_path):
    path = write(tmp_path, "day,temp\n2026-01-01,1\n")
    assert not collect(tmp_path, covariate(f"file://{path}"), series="product").tables[0].keyed


@pytest.mark.parametrize(
    ("response", "asked", "words"),
    [
        ((503, {}, b""), 3, "the server answered 503"),
        ((404, {}, b""), 1, "the server answered 404"),
        ((403, {}, b""), 1, "refused access"),
        ((200, {}, b"day,rain\n2026-01-01,1\n"), 1, "no column 'temp'"),
        ((200, {}, b"day,temp\n2026-01-01,warm\n"), 1, "'warm' is not a number"),
        ((200, {}, b"day,temp\nsoon,1\n"), 1, "'soon' is not a time"),
        ((200, {}, b"day,temp\n"), 1, "no rows"),
    ],
)
def test_an_optional_one_that_fails_is_a_warning(tmp_path, response, asked, words):
    pages = Pages(response)
    got = collect(tmp_path, covariate(PAGE), pages=pages)
    assert pages.asked == asked
    assert got.tables == ()
    assert [(one.code, one.severity) for one in got.findings] == [("CovariateLeftOut", "warning")]
    assert words in got.findings[0].message
    assert "'weather'" in got.findings[0].message


@pytest.mark.parametrize(
    ("response", "asked", "error"),
    [
        ((503, {}, b""), 5, UpstreamUnavailable),
        ((404, {}, b""), 1, UpstreamUnavailable),
        ((403, {}, b""), 1, NotPermitted),
        ((200, {}, b"day,rain\n2026-01-01,1\n"), 1, DataError),
    ],
)
def test_a_required_one_that_fails_ends_the_job(tmp_path, response, asked, error):
    pages = Pages(response)
    with pytest.raises(error) as caught:
        collect(tmp_path, covariate(PAGE, required=True), pages=pages)
    assert pages.asked == asked
    assert PAGE in str(caught.value)


def test_an_open_circuit_closes_when_the_half_open_attempt_succeeds(tmp_path, caplog):
    pages = Pages((503, {}, b""), (503, {}, b""), (503, {}, b""), (200, {}, WEATHER))
    with caplog.at_level(logging.INFO):
        got = collect(tmp_path, covariate(PAGE), pages=pages, circuit=Circuit(2, 0.05, **QUICK))
    assert len(got.tables) == 1
    changes = [record.getMessage().partition("weather: ")[2] for record in caplog.records]
    assert changes[-5:] == [
        "closed -> open",
        "open -> half-open",
        "half-open -> open",
        "open -> half-open",
        "half-open -> closed",
    ]


class Slow(Pages):
    """Responds only if two requests run at the same time."""

    def __init__(self, *responses):
        super().__init__(*responses)
        self.both = threading.Barrier(2)

    def send(self, request, **options):
        self.both.wait(10)
        return super().send(request, **options)


def test_covariates_are_fetched_in_parallel(tmp_path):
    got = collect(tmp_path, covariate(PAGE), covariate(PAGE, "traffic"), pages=Slow((200, {}, WEATHER)))
    assert [table.name for table in got.tables] == ["weather", "traffic"]


class Silent(Pages):
    """Does not respond within any time limit of these tests."""

    def send(self, *_args, **_kwargs):
        threading.Event().wait(30)
        raise requests.ReadTimeout("silent")


def test_a_silent_server_ends_at_the_time_limit(tmp_path):
    begun = time.monotonic()
    got = collect(tmp_path, covariate(PAGE, timeoutSeconds=1), pages=Silent((200, {}, b"")))
    assert time.monotonic() - begun < 10
    assert "1 s (timeoutSeconds)" in got.findings[0].message


def test_a_stop_ends_the_wait(tmp_path):
    with pytest.raises(Interrupted, match=r"data\.covariates"):
        collect(tmp_path, covariate(PAGE), pages=Silent((200, {}, b"")), stop=lambda: True)
