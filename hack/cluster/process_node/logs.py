"""The kubelet's log endpoint, so that `kubectl logs` works. Only the API server's own certificate is let in."""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

_FOLLOW_SECONDS = 0.1
_CHUNK = 64 * 1024
_ADMIN_GROUP = "system:masters"


class ContainerLogs(NamedTuple):
    """Where a container's output lies, and whether more can come."""

    folder: Path
    running: Callable[[], bool]


Find = Callable[[str, str, str], ContainerLogs | None]
"""Finds the logs of namespace, pod, container; None when this node has no such container."""


def log_application(find: Find) -> web.Application:
    """Build the web application; TLS and the check of the client's certificate are `server_context`'s."""

    async def logs(request: web.Request) -> web.StreamResponse:
        _require_api_server(request)
        namespace, pod, name = (request.match_info[each] for each in ("namespace", "pod", "container"))
        found = find(namespace, pod, name)
        if found is None:
            raise web.HTTPNotFound(text=f"no container {name!r} of pod {namespace}/{pod} on this node\n")
        return await _send(request, found, name)

    async def not_offered(request: web.Request) -> web.StreamResponse:
        verb = request.path.split("/")[1]
        raise web.HTTPNotImplemented(
            text=f"{verb} is not offered by a process node: its pods are local processes, reached by their pod IP\n"
        )

    application = web.Application()
    application.router.add_get("/containerLogs/{namespace}/{pod}/{container}", logs)
    application.router.add_route("*", "/{verb:exec|attach|portForward|run|checkpoint}/{rest:.*}", not_offered)
    return application


def server_context(certificate: Path, key: Path, client_ca: Path) -> ssl.SSLContext:
    """TLS of the server: a client certificate of the cluster's CA is required."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(client_ca))
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def serve(application: web.Application, claim: socket.socket, context: ssl.SSLContext | None) -> web.AppRunner:
    """Serve on a bound socket; call `cleanup()` of the result to end."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.SockSite(runner, claim, ssl_context=context).start()
    return runner


def _require_api_server(request: web.Request) -> None:
    """Let in only the group of the API server's kubelet client: others can hold certificates of the same CA."""
    certificate = request.get_extra_info("peercert")
    groups = [
        value for part in (certificate or {}).get("subject", ()) for name, value in part if name == "organizationName"
    ]
    if certificate is not None and _ADMIN_GROUP not in groups:
        raise web.HTTPForbidden(text="only the API server may read logs here\n")


async def _send(request: web.Request, logs: ContainerLogs, name: str) -> web.StreamResponse:
    query = request.query
    for option in ("sinceSeconds", "sinceTime", "timestamps"):
        if query.get(option, "false") != "false":
            raise web.HTTPBadRequest(text=f"{option} is not offered: a process node keeps output without times\n")
    previous = query.get("previous") == "true"
    file = _log_file(logs.folder, previous=previous)
    if file is None:
        which = "previous terminated container" if previous else "container"
        raise web.HTTPBadRequest(text=f"{which} {name!r} has no output yet: it has not been started\n")
    start = _tail_start(file, int(query["tailLines"])) if "tailLines" in query else 0
    left = int(query["limitBytes"]) if "limitBytes" in query else None
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    async for chunk in _content(file, start, logs.running if query.get("follow") == "true" else None):
        part = chunk if left is None else chunk[:left]
        await response.write(part)
        if left is not None and (left := left - len(part)) <= 0:
            break
    await response.write_eof()
    return response


async def _content(file: Path, start: int, more: Callable[[], bool] | None) -> AsyncIterator[bytes]:
    """Read a file from an offset; with `more`, on and on until the container has ended."""
    with file.open("rb") as content:
        content.seek(start)
        while True:
            last_look = more is None or not more()
            while chunk := content.read(_CHUNK):
                yield chunk
            if last_look:
                return
            await asyncio.sleep(_FOLLOW_SECONDS)


def _log_file(folder: Path, *, previous: bool) -> Path | None:
    newest_first = sorted((int(each.stem) for each in folder.glob("*.log") if each.stem.isdigit()), reverse=True)
    wanted = newest_first[1:2] if previous else newest_first[:1]
    return folder / f"{wanted[0]}.log" if wanted else None


def _tail_start(file: Path, lines: int) -> int:
    """Offset of the last `lines` lines."""
    if lines <= 0:
        return file.stat().st_size
    starts: deque[int] = deque([0], maxlen=lines + 1)
    with file.open("rb") as content:
        for line in content:
            starts.append(starts[-1] + len(line))
    return starts[0]
