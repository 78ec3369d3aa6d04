"""Readiness, liveness and startup probes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from cluster.process_node.local_process import LocalProcess
from cluster.process_node.podspec import Json, Probe


@dataclass(frozen=True)
class ProbeTarget:
    """What a probe needs to know of its container. `rewrite` maps paths inside the container to this machine."""

    pod_ip: str
    ports: Mapping[str, int]
    env: Mapping[str, str]
    folder: Path
    log: Path
    rewrite: Callable[[str], str]


Report = Callable[[str | None], None]
"""Called with each verdict that has reached its threshold: None when all is well, else what is wrong."""

Check = Callable[[Probe, ProbeTarget], Awaitable[str | None]]
"""One probing, with the same meaning of its answer."""


async def watch_probe(probe: Probe, target: ProbeTarget, report: Report, check: Check | None = None) -> None:
    """Probe for ever, and report whenever as many equal results as the threshold have come in a row."""
    run = check or check_once
    await asyncio.sleep(probe.initial_delay)
    streak, last = 0, None
    while True:
        problem = await run(probe, target)
        good = problem is None
        streak = streak + 1 if good is last else 1
        last = good
        if streak >= (probe.success_threshold if good else probe.failure_threshold):
            report(problem)
        await asyncio.sleep(probe.period)


async def check_once(probe: Probe, target: ProbeTarget) -> str | None:
    """Probe once; returns None when all is well, else what is wrong."""
    checks: Mapping[str, Check] = {"httpGet": _http, "tcpSocket": _tcp, "exec": _exec}
    if probe.kind not in checks:
        return f"a process node does not offer {probe.kind} probes"
    try:
        async with asyncio.timeout(probe.timeout):
            return await checks[probe.kind](probe, target)
    except TimeoutError:
        return f"{probe.kind} probe had no answer within {probe.timeout:g} s"
    except (OSError, aiohttp.ClientError) as error:
        return f"{probe.kind} probe failed: {error}"


async def _http(probe: Probe, target: ProbeTarget) -> str | None:
    action = probe.action
    scheme = str(action.get("scheme", "HTTP")).lower()
    path = "/" + str(action.get("path", "/")).lstrip("/")
    headers = {each["name"]: each["value"] for each in action.get("httpHeaders", [])}
    address = f"{scheme}://{action.get('host') or target.pod_ip}:{_port(action, target)}{path}"
    async with aiohttp.ClientSession() as session, session.get(address, headers=headers, ssl=False) as response:
        if 200 <= response.status < 400:
            return None
        return f"HTTP probe failed with statuscode: {response.status}"


async def _tcp(probe: Probe, target: ProbeTarget) -> str | None:
    _, writer = await asyncio.open_connection(probe.action.get("host") or target.pod_ip, _port(probe.action, target))
    writer.close()
    await writer.wait_closed()
    return None


async def _exec(probe: Probe, target: ProbeTarget) -> str | None:
    argv = [target.rewrite(word) for word in probe.action["command"]]
    process = LocalProcess(argv, target.env, target.folder, target.log)
    try:
        code = await process.wait()
    finally:
        process.kill()
        await process.wait()  # one that was given up is reaped too
    return None if code == 0 else f"exec probe ended with code {code}"


def _port(action: Json, target: ProbeTarget) -> int:
    port = action["port"]
    if isinstance(port, int):
        return port
    if port in target.ports:
        return target.ports[port]
    raise OSError(f"the container has no port named {port!r}")
