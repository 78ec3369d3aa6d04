"""The demo's client with a real HTTP server: every prediction is counted, and anything else is a failure."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from cluster.model import ClusterError
from demo.client import Client

DESCRIPTION = {"inputs": [{"name": "price", "datatype": "FP64"}, {"name": "town", "datatype": "BYTES"}]}


class Model:
    """The next response of the server: a status, a version, a value."""

    def __init__(self) -> None:
        self.status, self.version, self.value = 200, "1", 2.5
        self.requests: list[Any] = []

    def prediction(self) -> Any:
        output = {"name": "prediction", "datatype": "FP64", "shape": [1], "data": [self.value]}
        return {"model_name": "m", "model_version": self.version, "outputs": [output]}


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def address(model: Model) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._respond(200, DESCRIPTION)

        def do_POST(self) -> None:
            model.requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self._respond(model.status, model.prediction())

        def _respond(self, status: int, body: Any) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end, f"waited 10 s for {what}, in vain"
        time.sleep(0.005)


def test_predictions_are_counted_by_version_and_switches_are_timed(address: str, model: Model) -> None:
    with Client(lambda: address, "m", pause_seconds=0.001) as client:
        client.wait_for_version(1, 10)
        before = time.monotonic()
        model.version = "2"
        assert client.wait_for_version(2, 10, since=before) >= before
    assert [version for _, version in client.tally.switches] == [1, 2]
    assert (client.tally.failed, client.tally.answered) == (0, len(model.requests))
    assert str(client.tally).endswith("by version 2), 0 failed")


def test_the_request_has_a_value_for_every_column(address: str, model: Model) -> None:
    with Client(lambda: address, "m", pause_seconds=0.001) as client:
        until(lambda: bool(model.requests), "a request")
    assert [(each["name"], each["shape"], each["data"]) for each in model.requests[0]["inputs"]] == [
        ("price", [1], [0.5]),
        ("town", [1], ["2026-01-01"]),
    ]
    assert client.tally.failures == []


@pytest.mark.parametrize(
    ("change", "words"),
    [({"status": 503}, "503"), ({"value": None}, "not finite numbers"), ({"version": "?"}, "ValueError")],
)
def test_a_response_without_a_prediction_is_a_failure(address: str, model: Model, change: Any, words: str) -> None:
    vars(model).update(change)
    with Client(lambda: address, "m", pause_seconds=0.001) as client:
        until(lambda: client.tally.failed > 1, "two failures")
    assert words in client.tally.failures[0]
    assert client.tally.answered == 0


def test_a_refused_connection_is_a_failure(address: str) -> None:
    addresses = iter([address])
    with Client(lambda: next(addresses, "http://127.0.0.1:1"), "m", pause_seconds=0.001) as client:
        until(lambda: client.tally.failed > 0, "a failure")
    assert "ConnectionError" in client.tally.failures[0]


def test_a_model_that_does_not_respond_is_an_error() -> None:
    with (
        pytest.raises(ClusterError, match="through its Service"),
        Client(lambda: "http://127.0.0.1:1", "m"),
    ):
        pass


def test_a_version_that_does_not_respond_in_time_is_named(address: str) -> None:
    with Client(lambda: address, "m") as client, pytest.raises(ClusterError, match="version 9"):
        client.wait_for_version(9, 0.1)
