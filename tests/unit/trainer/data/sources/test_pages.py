"""Downloads from web servers: broken ones are resumed, too large ones are refused, and retries have a limit."""

import re

import pytest
import requests
import tenacity

from tests.unit.trainer.data.sources.test_sources import Pages, never
from trainyard_trainer.data.sources.addresses import Address
from trainyard_trainer.data.sources.pages import Http, download_page
from trainyard_trainer.errors import DataError, TrainerError, UpstreamUnavailable

BODY = bytes(range(256)) * 2000
PAGE = Address("https://data.example/t.csv")
PIECE = 100_000


class Server(requests.adapters.BaseAdapter):
    """Supports ranges. Each connection breaks after a piece, and the file can change between two connections."""

    def __init__(self, bodies, *, tags, ranges=True):
        super().__init__()
        self.bodies, self.tags, self.ranges, self.asked = bodies, tags, ranges, []

    def send(self, request, **_):
        now = min(len(self.asked), len(self.bodies) - 1)
        body, tag = self.bodies[now], self.tags[now]
        wanted = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        same = request.headers.get("If-Range") == tag
        start = int(wanted[1]) if wanted and same and self.ranges else 0
        self.asked.append(start)
        response = requests.Response()
        response.status_code, response.url, response.request = (206 if start else 200), request.url, request
        response.headers["Content-Length"] = str(len(body) - start)
        if tag:
            response.headers["ETag"] = tag
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        response.raw = Cut(body[start:])
        return response

    def close(self):
        pass


class Cut:
    """A body whose connection breaks after a piece."""

    def __init__(self, body):
        self.body = body

    def stream(self, *_args, **_kwargs):
        for begin in range(0, min(PIECE, len(self.body)), 10_000):
            yield self.body[begin : min(begin + 10_000, PIECE)]
        if len(self.body) > PIECE:
            raise requests.packages.urllib3.exceptions.ProtocolError("connection broken")

    def release_conn(self):
        pass

    def close(self):
        pass


def fetch(adapter, target, **options):
    session = requests.Session()
    session.mount("https://", adapter)
    download_page(PAGE, target, Http(lambda: session, wait=tenacity.wait_none(), **options), never)
    return target.read_bytes()


def test_a_broken_download_is_resumed_at_the_same_byte(tmp_path):
    server = Server([BODY], tags=['"1"'])
    assert fetch(server, tmp_path / "t") == BODY
    assert server.asked == list(range(0, len(BODY), PIECE))


def test_a_changed_file_is_downloaded_again(tmp_path):
    other = b"z" * 250_000
    server = Server([BODY, other], tags=['"1"', '"2"'])
    assert fetch(server, tmp_path / "t") == other
    assert server.asked == [0, 0, PIECE, 2 * PIECE]


@pytest.mark.parametrize(("tag", "ranges"), [(None, True), ('W/"1"', True), ('"1"', False)])
def test_without_etag_or_ranges_each_attempt_starts_again_up_to_a_limit(tmp_path, tag, ranges):
    server = Server([BODY], tags=[tag], ranges=ranges)
    with pytest.raises(UpstreamUnavailable, match=r"in 4 attempts after 100000 bytes"):
        fetch(server, tmp_path / "t")
    assert server.asked == [0, 0, 0, 0]


@pytest.mark.parametrize("headers", [{"Content-Length": "2000"}, {}])
def test_a_file_over_the_limit_is_refused(tmp_path, headers):
    with pytest.raises(DataError, match=r"data\.uri https.* 1000 .TRAINYARD_MAX_DOWNLOAD_BYTES"):
        fetch(Pages((200, headers, b"x" * 2000)), tmp_path / "t", max_bytes=1000)


@pytest.mark.parametrize(
    ("responses", "words"),
    [
        ([(200, {"Content-Length": "5"}, b"123456")], "sent 6 bytes but announced 5"),
        ([(206, {}, b"1")], "the server answered 206"),
        ([requests.exceptions.SSLError("self-signed")], "TLS certificate is not accepted"),
        ([requests.ReadTimeout("read timed out")], "read timed out"),
    ],
)
def test_invalid_responses(tmp_path, responses, words):
    with pytest.raises(TrainerError, match=words) as caught:
        fetch(Pages(*responses), tmp_path / "t")
    assert PAGE.uri in str(caught.value)


def test_retry_after_is_respected_up_to_a_limit(tmp_path):
    delays = []
    pages = Pages(
        (429, {"Retry-After": "7"}, b""), (503, {"Retry-After": "9999"}, b""), (500, {}, b""), (200, {}, b"x")
    )
    session = requests.Session()
    session.mount("https://", pages)
    http = Http(lambda: session, wait=tenacity.wait_fixed(0.5), sleep=delays.append)
    download_page(PAGE, tmp_path / "t", http, never)
    assert delays == [7, 60, 0.5]
