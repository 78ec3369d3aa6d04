"""HTTP probes of a container."""

import asyncio
from dataclasses import dataclass

import aiohttp

from cluster.process_node.pods import Container, HttpGet, Probe


@dataclass(frozen=True)
class ProbeTarget:
    """Where the probes of a container send their requests."""

    address: str
    container: Container

    def url(self, action: HttpGet) -> str:
        """Return the URL of a probe. Raises ValueError if the container has no port of this name."""
        port = action.port
        if isinstance(port, str) and not port.isdecimal():
            ports = {each.name: each.container_port for each in self.container.ports}
            if port not in ports:
                raise ValueError(f"the container has no port with the name {port!r}")
            port = ports[port]
        return f"http://{self.address}:{port}/{action.path.lstrip('/')}"


async def verdict(probe: Probe, target: ProbeTarget) -> str | None:
    """Probe until it succeeds, or fails as often in a row as its threshold says.

    Returns
    -------
    ``None``, or the problem.
    """
    for _ in range(probe.failure_threshold - 1):
        if await check(probe, target) is None:
            return None
        await asyncio.sleep(probe.period_seconds)
    return await check(probe, target)


async def check(probe: Probe, target: ProbeTarget) -> str | None:
    """Probe once; return ``None``, or the problem."""
    if probe.http_get is None:
        return "a process node supports only httpGet probes"
    timeout = aiohttp.ClientTimeout(total=probe.timeout_seconds)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(target.url(probe.http_get)) as response,
        ):
            return None if response.status < 400 else f"HTTP probe failed with status {response.status}"
    except TimeoutError:
        return f"HTTP probe had no response within {probe.timeout_seconds:g} s"
    except (OSError, ValueError, aiohttp.ClientError) as error:
        return f"HTTP probe failed: {error}"
