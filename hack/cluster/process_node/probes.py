"""HTTP probes of a container."""

import asyncio

import aiohttp

from cluster.process_node.pods import Container, Probe


async def verdict(probe: Probe, container: Container, address: str) -> str | None:
    """Probe until it succeeds, or fails as often in a row as its threshold says. Return ``None``, or the problem."""
    for _ in range(probe.failure_threshold - 1):
        if await check(probe, container, address) is None:
            return None
        await asyncio.sleep(probe.period_seconds)
    return await check(probe, container, address)


async def check(probe: Probe, container: Container, address: str) -> str | None:
    """Probe a container of the pod with this address once. Return ``None``, or the problem."""
    if probe.http_get is None:
        return "a process node supports only httpGet probes"
    port, path = probe.http_get["port"], probe.http_get.get("path", "/")
    ports = {each.get("name"): each["containerPort"] for each in container.ports}
    url = f"http://{address}:{ports.get(port, port)}/{path.lstrip('/')}"
    timeout = aiohttp.ClientTimeout(total=probe.timeout_seconds)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
            return None if response.status < 400 else f"HTTP probe failed with status {response.status}"
    except TimeoutError:
        return f"HTTP probe had no response within {probe.timeout_seconds:g} s"
    except (OSError, ValueError, aiohttp.ClientError) as error:
        return f"HTTP probe failed: {error or type(error).__name__}"
