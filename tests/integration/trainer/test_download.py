"""Downloads from a real server over TLS whose connections break or stall, or whose certificate is not trusted."""

import re
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
import tenacity

from tests.unit.trainer.progress.endpoint import certificate
from trainyard_trainer.data.sources.addresses import Address
from trainyard_trainer.data.sources.pages import Http, download_page
from trainyard_trainer.errors import UpstreamUnavailable

BODY = bytes(range(256)) * 8192
PIECE = 600_000
BUFFER = 65_536
"""The bytes that were in transit when the connection broke are read again."""


@dataclass
class Web:
    """A server that sends a limited number of bytes of a response, and then closes the connection or stalls."""

    ca_file: Path
    port: int = 0
    stalls: bool = False
    starts: list[int] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def http(self, **options: float) -> Http:
        """Return a client of the server."""
        return Http(partial(_session, self.ca_file), wait=tenacity.wait_none(), **options)  # type: ignore[arg-type]

    @property
    def address(self) -> Address:
        return Address(f"https://127.0.0.1:{self.port}/table.csv")


def _session(ca_file: Path) -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # the variable REQUESTS_CA_BUNDLE would take precedence
    session.verify = str(ca_file)
    return session


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    ca_file, key_file = certificate(tmp_path / "tls")
    served = Web(ca_file)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = int(wanted[1]) if wanted and self.headers.get("If-Range") == '"v1"' else 0
            served.starts.append(start)
            self.send_response(206 if start else 200)
            self.send_header("ETag", '"v1"')
            self.send_header("Content-Length", str(len(BODY) - start))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(BODY) - 1}/{len(BODY)}")
            self.end_headers()
            self.wfile.write(BODY[start : start + PIECE])
            if served.stalls:
                served.stopped.wait(30)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Do not write a log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca_file, key_file)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    served.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield served
    served.stopped.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_broken_downloads_are_resumed(web: Web, tmp_path: Path) -> None:
    download_page(web.address, tmp_path / "t", web.http(), lambda: None)
    assert (tmp_path / "t").read_bytes() == BODY
    gains = [after - before for before, after in zip(web.starts, web.starts[1:], strict=False)]
    assert len(gains) == 3
    assert all(PIECE - BUFFER < gain <= PIECE for gain in gains)


def test_stalled_downloads_are_resumed(web: Web, tmp_path: Path) -> None:
    web.stalls = True
    download_page(web.address, tmp_path / "t", web.http(silence_seconds=0.5), lambda: None)
    assert (tmp_path / "t").read_bytes() == BODY
    assert len(web.starts) > 1
    assert web.starts[1] > 0


def test_an_untrusted_certificate_is_reported(web: Web, tmp_path: Path) -> None:
    http = Http(wait=tenacity.wait_none())
    with pytest.raises(UpstreamUnavailable, match="its TLS certificate is not accepted"):
        download_page(web.address, tmp_path / "t", http, lambda: None)


def test_a_missing_server_is_reported(web: Web, tmp_path: Path) -> None:
    with pytest.raises(UpstreamUnavailable, match="could not be read in 4 attempts"):
        download_page(Address("https://127.0.0.1:1/t.csv"), tmp_path / "t", web.http(), lambda: None)
