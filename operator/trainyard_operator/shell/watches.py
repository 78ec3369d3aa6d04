"""Run kopf as the source of watch events, and start it again when it ends by itself.

kopf ends completely if one of its requests fails permanently: after an error in a watch stream, or when a kind is gone.
The process has other work to do. Therefore it continues and opens the watches again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import kopf
from prometheus_client import Counter

from trainyard_operator.kube.credentials import Credentials
from trainyard_operator.shell.freshness import Freshness
from trainyard_operator.shell.login import Login
from trainyard_operator.shell.settings import configure
from trainyard_operator.shell.wiring import Observer, register, watch_all

PAUSE_SECONDS = 5.0
"""Delay between an end of kopf and its next start."""
CHECK_SECONDS = 5.0
END_SECONDS = 8.0
"""kopf waits 5 s for its own tasks before it cancels them."""
AGAIN_SECONDS = 0.5
EXIT_SECONDS = 20.0
"""How long kopf may take to stop. The pod's grace period is 30 s."""

STARTS = Counter("trainyard_watch_starts_total", "Number of times all watches were opened, including the first time")

log = logging.getLogger(__name__)


class Watches:
    """All watches of the operator, kept open until :meth:`stop`.

    When kopf ends, it cancels every task that is younger than itself. Tasks that must outlive it have to start before
    :meth:`run`.
    """

    def __init__(
        self,
        namespaces: tuple[str, ...],
        credentials: Credentials,
        observer: Observer,
        freshness: Freshness,
        *,
        refused: asyncio.Event,
        ready: Callable[[], None],
        pause_seconds: float = PAUSE_SECONDS,
        check_seconds: float = CHECK_SECONDS,
    ) -> None:
        """Create the watches. ``refused`` is set if the API server does not accept the credentials.

        ``ready`` is called each time kopf runs, because kopf takes over the signals of the process.
        """
        self._namespaces = namespaces
        self._credentials = credentials
        self._observer = observer
        self._freshness = freshness
        self._refused = refused
        self._ready = ready
        self._pause = pause_seconds
        self._check = check_seconds
        self._stopping = asyncio.Event()
        self._round_ends = asyncio.Event()

    async def run(self) -> None:
        """Watch until :meth:`stop` is called, or until a signal that reached kopf ends it."""
        keeper = asyncio.create_task(self._keep_open(), name="watch-keeper")
        try:
            while not self._stopping.is_set():
                self._round_ends = asyncio.Event()
                STARTS.inc()
                if await self._round() and not self._round_ends.is_set():
                    return
                await _wait(self._stopping, self._pause)
        finally:
            keeper.cancel()

    def reopen(self) -> None:
        """Close all watches and open them again."""
        self._freshness.reopening()
        self._round_ends.set()

    def stop(self) -> None:
        """End :meth:`run`."""
        self._stopping.set()
        self._round_ends.set()

    async def _round(self) -> bool:
        """Run kopf once. Return whether it ended regularly: it was stopped, or a signal ended it."""
        older, stopping = asyncio.all_tasks(), asyncio.Event()
        task = asyncio.create_task(self._kopf(self._round_ends, stopping), name="kopf")
        stopped = asyncio.create_task(stopping.wait(), name="kopf-stopping")
        try:
            await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
            await _end(task, older)
        finally:
            stopped.cancel()
        try:
            await task
        except Exception:  # whatever ended kopf, the work continues and the watches are opened again
            log.exception("the watches ended; opening them again")
            return False
        return True

    async def _kopf(self, stop: asyncio.Event, stopping: asyncio.Event) -> None:
        registry = kopf.OperatorRegistry()
        register(registry, Login(self._credentials, self._freshness, refused=self._refused))
        kopf.on.cleanup(registry=registry)(_set(stopping))
        settings = kopf.OperatorSettings()
        configure(settings)
        ready = asyncio.Event()
        reported = asyncio.create_task(self._report(ready), name="kopf-ready")
        try:
            await kopf.operator(
                registry=registry,
                settings=settings,
                standalone=True,
                clusterwide=not self._namespaces,
                namespaces=self._namespaces,
                stop_flag=stop,
                ready_flag=ready,
                _command=watch_all(self._observer, settings, self._namespaces),
            )
        finally:
            reported.cancel()

    async def _report(self, ready: asyncio.Event) -> None:
        await ready.wait()
        self._ready()

    async def _keep_open(self) -> None:
        while True:
            await asyncio.sleep(self._check)
            self._freshness.report()
            if problem := self._freshness.stuck():
                log.warning("%s although the API server answers; opening all watches again", problem)
                self.reopen()


def _set(event: asyncio.Event) -> Callable[..., Awaitable[None]]:
    async def stopping(**_: Any) -> None:
        event.set()

    return stopping


async def _end(task: asyncio.Task[None], older: Collection[asyncio.Task[Any]]) -> None:
    """Wait for the end of kopf. One of its watchers can swallow its cancellation, so it is cancelled again."""
    await asyncio.wait([task], timeout=END_SECONDS)
    while not task.done():
        for other in asyncio.all_tasks() - set(older) - {task}:
            other.cancel()
        await asyncio.wait([task], timeout=AGAIN_SECONDS)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
