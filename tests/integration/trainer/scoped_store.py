"""An S3 server that refuses everything outside of one prefix, as AWS does by the policy of docs/storage.md.

It stands before the real server and passes on what the policy allows, byte by byte: requests stay signed as they are.
"""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

_DENIED: Final = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
_HOP: Final = {"connection", "transfer-encoding", "content-length", "keep-alive"}


class ScopedServer(ThreadingHTTPServer):
    """Passes on to ``upstream`` what lies below ``s3://bucket/prefix/``. ``refused`` are the requests that did not."""

    daemon_threads = True

    def __init__(self, upstream: str, bucket: str, prefix: str) -> None:
        super().__init__(("127.0.0.1", 0), _Gate)
        self.upstream = urlsplit(upstream)
        self.bucket, self.prefix = bucket, prefix
        self.refused: list[str] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def allows(self, method: str, target: str, body: bytes) -> bool:
        parts = urlsplit(target)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        query = parse_qs(parts.query, keep_blank_values=True)
        below = f"{self.prefix}/"
        if bucket != self.bucket:
            return False
        if key:
            return key.startswith(below)
        if method == "GET" and "list-type" in query:
            return query.get("prefix", [""])[0].startswith(below)
        if method == "POST" and "delete" in query:
            keys = [each.text or "" for each in ElementTree.fromstring(body).iter() if each.tag.endswith("Key")]
            return all(key.startswith(below) for key in keys)
        return False


@contextmanager
def scoped(upstream: str, bucket: str, prefix: str) -> Iterator[ScopedServer]:
    """Run one as long as the context is open."""
    with ScopedServer(upstream, bucket, prefix) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Gate(BaseHTTPRequestHandler):
    server: ScopedServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _pass(self) -> None:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self.server.allows(self.command, self.path, body):
            self.server.refused.append(f"{self.command} {self.path}")
            self._answer(403, [("Content-Type", "application/xml")], b"" if self.command == "HEAD" else _DENIED)
            return
        upstream = self.server.upstream
        connection = http.client.HTTPConnection(str(upstream.hostname), upstream.port, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in {"expect", "connection"}}
        connection.request(self.command, self.path, body=body, headers=headers)
        answer = connection.getresponse()
        self._answer(answer.status, answer.getheaders(), answer.read())
        connection.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        length = next((value for name, value in headers if name.lower() == "content-length"), str(len(body)))
        for name, value in headers:
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", length if self.command == "HEAD" else str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass  # noqa: N815 - the names that http.server calls
