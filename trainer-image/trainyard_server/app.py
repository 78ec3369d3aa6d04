"""The routes of the Open Inference Protocol v2, with versions, and without routes that load or unload models.

The application of the SDK is not used. It returns 422 for malformed JSON and 501 for versions. It is ready without a
model, and any client can load and unload models.
"""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from importlib.metadata import version
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from kserve.errors import InvalidInput, ModelNotFound, ModelNotReady
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from trainyard_server.metrics import Metrics
from trainyard_server.model import Overloaded, ServedModel
from trainyard_server.repository import OneModelRepository
from trainyard_trainer.artifacts.manifest import Manifest
from trainyard_trainer.evaluate.names import THRESHOLD

MAX_BODY_BYTES: Final = 32 * 1024 * 1024
_BINARY_HEADER: Final = "inference-header-content-length"
_INFER: Final = "/infer"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class BodyTooLarge(Exception):  # noqa: N818 - named after the response, as in the SDK
    """The request has more than ``MAX_BODY_BYTES`` bytes."""


def create_app(repository: OneModelRepository, metrics: Metrics) -> FastAPI:
    """Return the application of one process."""
    app = FastAPI(title="trainyard-server", version=version("trainyard"), docs_url=None, redoc_url=None)
    app.include_router(_health(repository, metrics))
    app.include_router(_model(repository), prefix="/v2/models/{name}")
    app.include_router(_model(repository), prefix="/v2/models/{name}/versions/{number}")
    for error, code in _CODES.items():
        app.add_exception_handler(error, _respond_with(code))
    app.add_middleware(_Observed, repository=repository, metrics=metrics)
    return app


def _health(repository: OneModelRepository, metrics: Metrics) -> APIRouter:
    router = APIRouter()

    @router.get("/v2")
    async def metadata() -> dict[str, Any]:
        return {"name": "trainyard-server", "version": version("trainyard"), "extensions": []}

    @router.get("/v2/health/live")
    async def live() -> dict[str, Any]:
        return {"live": True}

    @router.get("/v2/health/ready")
    async def ready() -> dict[str, Any]:
        _require_ready(repository)
        return {"ready": True}

    @router.get("/v2/models")
    async def models() -> dict[str, Any]:
        return {"models": [repository.wanted.model] if repository.ready else []}

    @router.get("/metrics")
    async def prometheus() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return router


def _of_two_classes(manifest: Manifest) -> dict[str, Any]:
    """Return the positive class of two classes, and the probability threshold from which it is predicted."""
    if manifest.positive_class is None or THRESHOLD not in manifest.metrics:
        return {}
    return {"positiveClass": manifest.positive_class, "threshold": manifest.metrics[THRESHOLD]}


def _model(repository: OneModelRepository) -> APIRouter:
    """Return the routes of a model. Below ``/versions/{number}``, only the loaded version is served."""
    router = APIRouter()

    @router.get("")
    async def metadata(name: str, number: str | None = None) -> dict[str, Any]:
        model = _served(repository, name, number)
        target, manifest = model.loaded.target, model.loaded.manifest
        return {
            "name": target.model,
            "versions": [str(target.version)],
            "platform": manifest.formats[0],
            "inputs": model.get_input_types(),
            "outputs": model.get_output_types(),
            "parameters": {
                "framework": manifest.framework,
                "manifestSha256": target.manifest_sha256,
                **_of_two_classes(manifest),
            },
        }

    @router.get("/ready")
    async def ready(name: str, number: str | None = None) -> dict[str, Any]:
        _served(repository, name, number)
        _require_ready(repository)
        return {"name": name, "ready": True}

    @router.post(_INFER)
    async def infer(request: Request, name: str, number: str | None = None) -> Response:
        model = _served(repository, name, number)
        if _BINARY_HEADER in request.headers:
            raise InvalidInput("binary tensors are not supported; send the values in data, as JSON")
        return Response(await model(await _body(request)), media_type="application/json")

    return router


def _served(repository: OneModelRepository, name: str, number: str | None) -> ServedModel:
    """Return the model that a path names. Raises ModelNotFound, or ModelNotReady if it is not loaded yet."""
    wanted = repository.wanted
    if name != wanted.model:
        raise ModelNotFound(name)
    if number is not None and number != str(wanted.version):
        raise ModelNotFound(f"{name}, version {number},")
    if repository.served is None:
        raise ModelNotReady(name, f"Version {wanted.version} is being loaded.")
    return repository.served


def _require_ready(repository: OneModelRepository) -> None:
    if not repository.ready:
        detail = "The server is shutting down." if repository.draining else "The version is being loaded."
        raise ModelNotReady(repository.wanted.model, detail)


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge(f"the request is larger than {MAX_BODY_BYTES} bytes; send the rows in parts")
    return bytes(body)


_CODES: Final[dict[type[Exception], int]] = {
    InvalidInput: 400,
    ModelNotFound: 404,
    BodyTooLarge: 413,
    ModelNotReady: 503,
    Overloaded: 503,
    Exception: 500,
}
"""Status code by exception. Client errors are returned and counted, but not logged. uvicorn logs a 500."""


def _respond_with(code: int) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def respond(_: Request, error: Exception) -> Response:
        text = str(error) if code < 500 or code == 503 else f"the prediction failed: {type(error).__name__}: {error}"
        headers = {"Retry-After": "1"} if isinstance(error, Overloaded) else None
        return JSONResponse({"error": text}, status_code=code, headers=headers)

    return respond


class _Observed:
    """Middleware that counts predictions.

    While the server drains, it also closes connections, so that clients connect to another pod.
    """

    def __init__(self, app: App, repository: OneModelRepository, metrics: Metrics) -> None:
        self._app = app
        self._repository = repository
        self._metrics = metrics

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        code = 500

        async def observe(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
                if self._repository.draining:
                    message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        try:
            await self._app(scope, receive, observe)
        finally:
            if scope["path"].endswith(_INFER):
                self._metrics.observe(code, time.perf_counter() - started)
