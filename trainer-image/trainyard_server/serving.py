"""The lifecycle of the process: listen, load, serve, drain."""

import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import uvicorn
from prometheus_client import REGISTRY

from trainyard_api.exit_codes import ExitCode
from trainyard_server.app import create_app
from trainyard_server.listening import listen
from trainyard_server.loading import load_model
from trainyard_server.metrics import Metrics
from trainyard_server.model import ServedModel
from trainyard_server.repository import OneModelRepository
from trainyard_server.settings import Settings, Target
from trainyard_trainer.artifacts.opening import open_store
from trainyard_trainer.progress.log import LOGGER


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT. Return the exit code. Raises the errors of :func:`load_model`."""
    return asyncio.run(_run(settings))


class _Server(uvicorn.Server):
    """A server that drains before it stops. While it drains, it is not ready but still serves requests.

    kube-proxy and gateways learn that a pod ends at the same time as the pod itself. If the server closed its port
    immediately, requests that they send in the meantime would be refused.
    """

    def __init__(self, config: uvicorn.Config, repository: OneModelRepository, drain_seconds: float) -> None:
        super().__init__(config)
        self._repository = repository
        self._drain_seconds = drain_seconds
        self._ends_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Start to drain. A second signal stops the server immediately.

        The signal is not recorded, so uvicorn does not raise it again.
        """
        if self._ends_at is not None:
            self.should_exit = self.force_exit = True
            return
        self._ends_at = time.monotonic() + (self._drain_seconds if self._repository.ready else 0)
        self._repository.draining = True

    async def on_tick(self, counter: int) -> bool:
        """Stop the server when the drain time is over. uvicorn calls this every 0.1 s."""
        if self._ends_at is not None and time.monotonic() >= self._ends_at:
            self.should_exit = True
        return await super().on_tick(counter)


async def _run(settings: Settings) -> int:
    target, metrics = settings.target, Metrics(REGISTRY, settings.target)
    executor = ThreadPoolExecutor(settings.threads, thread_name_prefix="predict")

    def load(wanted: Target) -> ServedModel:
        store = open_store(settings.storage, settings.env)
        return ServedModel(load_model(wanted, store, settings.env.work_dir), executor, settings.max_rows)

    repository = OneModelRepository(target, load)
    server = _Server(_config(settings, create_app(repository, metrics)), repository, settings.drain_seconds)
    listener = listen(settings.host, settings.port)
    LOGGER.info("loading version %d of %s from %s", target.version, target.model, target.uri)
    loading = _load_in_thread(repository)
    loading.add_done_callback(lambda done: _loaded(done, server, repository, metrics))
    await server.serve(sockets=[listener])
    if not loading.done():
        # The process was stopped while it loaded. No request is being served, so do not wait for a download.
        os._exit(ExitCode.OK)
    loading.result()
    LOGGER.info("drained and stopped")
    return ExitCode.OK


def _config(settings: Settings, app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=settings.grace_seconds,
    )


def _load_in_thread(repository: OneModelRepository) -> "asyncio.Future[None]":
    """Load in a daemon thread. The event loop stays responsive, and the process can end before the load is complete."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def load() -> None:
        try:
            repository.load(repository.wanted.model)
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            loop.call_soon_threadsafe(future.set_exception, error)
        else:
            loop.call_soon_threadsafe(future.set_result, None)

    threading.Thread(target=load, name="load", daemon=True).start()
    return future


def _loaded(done: "asyncio.Future[None]", server: _Server, repository: OneModelRepository, metrics: Metrics) -> None:
    if done.exception() is not None or repository.served is None:
        server.should_exit = True
        return
    metrics.loaded(repository.served.loaded.manifest.framework)
    LOGGER.info("ready: version %d of %s", repository.wanted.version, repository.wanted.model)
