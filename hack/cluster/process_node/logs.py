"""The log endpoint of a kubelet, for `kubectl logs`."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

from cluster.process_node.container import previous_log
from cluster.process_node.settings import NodeSettings

_FOLLOW_SECONDS = 0.1
_CHUNK = 64 * 1024
_UNSUPPORTED = ("sinceSeconds", "sinceTime", "timestamps", "limitBytes")


class ContainerLog(NamedTuple):
    """The file with a container's output, and whether the output is complete."""

    file: Path
    ended: Callable[[], bool]


Find = Callable[[str, str, str], ContainerLog | None]
"""Returns the log of a container, given namespace, pod and container; ``None`` if this node has no such container."""


def log_application(find: Find) -> web.Application:
    """Return the web application."""

    async def logs(request: web.Request) -> web.StreamResponse:
        namespace, pod, container = (request.match_info[each] for each in ("namespace", "pod", "container"))
        found = find(namespace, pod, container)
        if found is None:
            raise web.HTTPNotFound(text=f"pod {namespace}/{pod} has no container {container!r} on this node\n")
        return await _send(request, found)

    async def unsupported(request: web.Request) -> web.StreamResponse:
        verb = request.match_info["verb"]
        raise web.HTTPNotImplemented(text=f"{verb} is not supported by a process node: pods are local processes\n")

    application = web.Application()
    application.router.add_get("/containerLogs/{namespace}/{pod}/{container}", logs)
    application.router.add_route("*", "/{verb:exec|attach|portForward|run}/{rest:.*}", unsupported)
    return application


async def serve(application: web.Application, listener: socket.socket, settings: NodeSettings) -> None:
    """Serve to clients that have a certificate of the cluster's CA, as long as the event loop runs."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(settings.ca))
    context.load_cert_chain(settings.certificate, settings.key)
    context.verify_mode = ssl.CERT_REQUIRED
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.SockSite(runner, listener, ssl_context=context).start()


async def _send(request: web.Request, log: ContainerLog) -> web.StreamResponse:
    query = request.query
    if unsupported := [option for option in _UNSUPPORTED if query.get(option, "false") != "false"]:
        raise web.HTTPBadRequest(text=f"a process node does not support {', '.join(unsupported)} for logs\n")
    file = previous_log(log.file) if query.get("previous") == "true" else log.file
    if not file.exists():
        raise web.HTTPBadRequest(text="the container has no output yet, or no output before a restart\n")
    follow = query.get("follow") == "true"
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    with file.open("rb") as content:
        content.seek(_tail_start(file, int(query["tailLines"])) if "tailLines" in query else 0)
        ended = False
        while not ended:
            ended = not follow or log.ended()  # before the last read, which gets all of the output
            while chunk := content.read(_CHUNK):
                await response.write(chunk)
            await asyncio.sleep(0 if ended else _FOLLOW_SECONDS)
    await response.write_eof()
    return response


def _tail_start(file: Path, lines: int) -> int:
    """Return the offset of the last lines."""
    content = file.read_bytes().splitlines(keepends=True)
    return sum(map(len, content[: max(len(content) - lines, 0)]))
