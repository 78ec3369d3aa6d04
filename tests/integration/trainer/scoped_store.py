"""An S3 server that refuses what a policy does not allow, as AWS does with the policies of docs/storage.md.

It is a proxy in front of the real server. It forwards allowed requests unchanged, so that their signatures stay valid.
"""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

_DENIED: Final = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
_HOP: Final = {"connection", "transfer-encoding", "content-length", "keep-alive"}


Policy = dict[str, Any]


class ScopedServer(ThreadingHTTPServer):
    """Forwards to ``upstream`` what an AWS policy allows. ``refused`` lists the other requests.

    It also refuses requests for missing objects. Servers do so if they first check the right to list the whole bucket.
    """

    daemon_threads = True

    def __init__(self, upstream: str, policy: Policy) -> None:
        super().__init__(("127.0.0.1", 0), _PolicyHandler)
        self.upstream = urlsplit(upstream)
        self.policy = policy
        self.refused: list[str] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def allows(self, method: str, target: str, body: bytes) -> bool:
        """Return whether the policy's statements allow every action that the request needs."""
        return all(
            any(_allows(statement, action, resource, prefix) for statement in self.policy["Statement"])
            for action, resource, prefix in _required_actions(method, target, body)
        )


def _required_actions(method: str, target: str, body: bytes) -> list[tuple[str, str, str | None]]:
    """Return the actions, the resources, and the value of ``s3:prefix`` if the request has one."""
    parts = urlsplit(target)
    bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
    query = parse_qs(parts.query, keep_blank_values=True)
    resource = f"arn:aws:s3:::{bucket}"
    if key:
        aborts = method == "DELETE" and "uploadId" in query
        actions = {"GET": "GetObject", "HEAD": "GetObject", "PUT": "PutObject", "POST": "PutObject"}
        action = "AbortMultipartUpload" if aborts else actions.get(method, "DeleteObject")
        return [(f"s3:{action}", f"{resource}/{key}", None)]
    if method == "GET" and "list-type" in query:
        return [("s3:ListBucket", resource, query.get("prefix", [""])[0])]
    if method == "POST" and "delete" in query:
        tree = ElementTree.fromstring(body)
        keys = [each.text or "" for each in tree.iter() if each.tag.endswith("Key")]
        return [("s3:DeleteObject", f"{resource}/{each}", None) for each in keys]
    return [(f"s3:{method}", resource, None)]


def _allows(statement: Policy, action: str, resource: str, prefix: str | None) -> bool:
    wanted = statement.get("Condition", {}).get("StringLike", {}).get("s3:prefix")
    return (
        statement["Effect"] == "Allow"
        and action in _list(statement["Action"])
        and any(fnmatchcase(resource, pattern) for pattern in _list(statement["Resource"]))
        and (wanted is None or (prefix is not None and any(fnmatchcase(prefix, each) for each in _list(wanted))))
    )


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@contextmanager
def scoped(upstream: str, policy: Policy) -> Iterator[ScopedServer]:
    """Run a server until the end of the block."""
    with ScopedServer(upstream, policy) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _PolicyHandler(BaseHTTPRequestHandler):
    server: ScopedServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Do not write a log."""

    def _handle(self) -> None:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self.server.allows(self.command, self.path, body):
            self.server.refused.append(f"{self.command} {self.path}")
            self._respond(403, [("Content-Type", "application/xml")], b"" if self.command == "HEAD" else _DENIED)
            return
        upstream = self.server.upstream
        connection = http.client.HTTPConnection(str(upstream.hostname), upstream.port, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in {"expect", "connection"}}
        connection.request(self.command, self.path, body=body, headers=headers)
        response = connection.getresponse()
        if response.status == 404:
            self._respond(403, [("Content-Type", "application/xml")], b"" if self.command == "HEAD" else _DENIED)
            connection.close()
            return
        self._respond(response.status, response.getheaders(), response.read())
        connection.close()

    def _respond(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        length = next((value for name, value in headers if name.lower() == "content-length"), str(len(body)))
        for name, value in headers:
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", length if self.command == "HEAD" else str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _handle  # noqa: N815 - the names that http.server calls
