"""A real headless Chromium for tests. It opens a page and returns what a user would see.

The tests control it by the DevTools protocol: https://chromedevtools.github.io/devtools-protocol/
"""

import asyncio
import base64
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from cluster import packages

START_SECONDS = 60
RESPONSE_SECONDS = 30
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--hide-scrollbars",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)
_WATCHED = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded", "Network.loadingFailed")


@dataclass
class Opened:
    """A page after it was loaded. ``requests`` are the addresses that it requested besides its own."""

    errors: list[str]
    requests: list[str]
    seen: Any
    screenshot: bytes


@dataclass
class Browser:
    """One running Chromium."""

    socket: aiohttp.ClientWebSocketResponse
    _events: list[dict[str, Any]] = field(default_factory=list)
    _last: int = 0

    async def open(self, page: Path, width: int, height: int, script: str, *, dark: bool = False) -> Opened:
        """Open a file in a new tab of this size. Once it has loaded, evaluate a script in it."""
        target = (await self._ask("Target.createTarget", url="about:blank"))["targetId"]
        tab = (await self._ask("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        self._events.clear()
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        await self._ask("Emulation.setDeviceMetricsOverride", tab, **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self._ask("Emulation.setEmulatedMedia", tab, features=[scheme])
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self._ask(f"{domain}.enable", tab)
        await self._ask("Page.navigate", tab, url=page.as_uri())
        await self._until("Page.loadEventFired")
        # Two frames later the layout is finished and painted, and all errors have been reported.
        frames = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        await self._ask("Runtime.evaluate", tab, expression=frames, awaitPromise=True)
        seen = await self._ask("Runtime.evaluate", tab, expression=script, returnByValue=True)
        if "exceptionDetails" in seen:
            raise AssertionError(f"the script failed in {page.name}: {seen['exceptionDetails']}")
        shot = await self._ask("Page.captureScreenshot", tab, captureBeyondViewport=True)
        errors = [str(event["params"]) for event in self._events if event["method"] in _WATCHED]
        requested = [
            event["params"]["request"]["url"]
            for event in self._events
            if event["method"] == "Network.requestWillBeSent"
        ]
        await self._ask("Target.closeTarget", targetId=target)
        return Opened(
            errors,
            [url for url in requested if url != page.as_uri()],
            seen["result"]["value"],
            base64.b64decode(shot["data"]),
        )

    async def _ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        await self.socket.send_json(message if session is None else {**message, "sessionId": session})
        while True:
            reply = await self._receive(method)
            if reply.get("id") == self._last:
                if "error" in reply:
                    raise AssertionError(f"Chromium refused {method}: {reply['error']}")
                result: dict[str, Any] = reply["result"]
                return result

    async def _until(self, event: str) -> None:
        while not any(one["method"] == event for one in self._events):
            await self._receive(event)

    async def _receive(self, awaited: str) -> dict[str, Any]:
        try:
            message: dict[str, Any] = await self.socket.receive_json(timeout=RESPONSE_SECONDS)
        except TimeoutError as error:
            raise AssertionError(f"Chromium said nothing for {RESPONSE_SECONDS} s, awaited was {awaited}") from error
        if "method" in message:
            self._events.append(message)
        return message


@asynccontextmanager
async def running() -> AsyncIterator[Browser]:
    """Start a browser with an empty profile, and end it with all of its processes."""
    packages.ensure({"chromium": "chromium"}, print)
    profile = Path(tempfile.mkdtemp(prefix="chromium-"))
    process = _start(profile)
    try:
        address = await _address(process, profile)
        async with aiohttp.ClientSession() as session, session.ws_connect(address, max_msg_size=0) as socket:
            yield Browser(socket)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(RESPONSE_SECONDS)
        shutil.rmtree(profile, ignore_errors=True)


def _start(profile: Path) -> subprocess.Popen[bytes]:
    with (profile / "log").open("wb") as log:
        return subprocess.Popen(
            ["chromium", *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


async def _address(process: subprocess.Popen[bytes], profile: Path) -> str:
    """Return the address at which the browser listens. The browser writes it into a file of its profile."""
    file = profile / "DevToolsActivePort"
    for _ in range(START_SECONDS * 20):
        lines = file.read_text().split() if file.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        if process.poll() is not None:
            break
        await asyncio.sleep(0.05)  # between two checks
    log = (profile / "log").read_text(errors="replace")
    raise AssertionError(f"Chromium did not listen within {START_SECONDS} s:\n{log}")
