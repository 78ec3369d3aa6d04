"""Start steps that need the API server. They wait while it is unreachable, and fail if it refuses them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from trainyard_api.exit_codes import ExitCode
from trainyard_operator.kube.errors import ApiError, ForbiddenError, NotFoundError, UnauthorizedError
from trainyard_operator.progress.tls import TlsSecretError

GRACE_SECONDS = 60.0
"""How long RBAC and CRDs may be missing after the API server has responded, while the chart is being installed."""
PAUSE_SECONDS = 1.0
LOG_SECONDS = 30.0
"""Minimum interval between log lines of the same problem."""

T = TypeVar("T")

log = logging.getLogger(__name__)


class StartError(Exception):
    """The operator cannot run: a message for the user, and the exit code of the process."""

    def __init__(self, code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class StartRetry:
    """Repeat a step until it succeeds or cannot succeed.

    A missing response, a time-out and 5xx are retried, because a restart would find the same API server. 403 and 404
    are retried for a while, because the chart may be being installed. 401 is not retried.
    """

    def __init__(
        self, server: str, *, grace_seconds: float = GRACE_SECONDS, pause_seconds: float = PAUSE_SECONDS
    ) -> None:
        self._server = server
        self._grace = grace_seconds
        self._pause = pause_seconds
        self._logged: tuple[str, float] | None = None

    async def until_done(self, what: str, step: Callable[[], Awaitable[T]]) -> T:
        """Return the result of the step.

        Raises
        ------
        StartError
            If the API server refuses the credentials, or still refuses ``what`` after the grace period.
        """
        loop = asyncio.get_running_loop()
        deadline: float | None = None
        while True:
            try:
                return await step()
            except TlsSecretError as error:
                raise StartError(ExitCode.BAD_CONFIG, str(error)) from error
            except UnauthorizedError as error:
                raise self._refused(what, error) from error
            except (ForbiddenError, NotFoundError) as error:
                refused = self._refused(what, error)
                deadline = loop.time() + self._grace if deadline is None else deadline
                if loop.time() >= deadline:
                    raise refused from error
                self._report(str(refused), loop.time())
            except ApiError as error:
                deadline = None
                self._report(f"{what}: {self._server} does not answer: {error}", loop.time())
            await asyncio.sleep(self._pause)

    def _refused(self, what: str, error: ApiError) -> StartError:
        match error:
            case UnauthorizedError():
                message = f"{what}: {self._server} refuses the credentials of the operator: {error.message}"
                return StartError(ExitCode.NOT_PERMITTED, message)
            case ForbiddenError():
                message = f"{what}: RBAC forbids the request: {error.message}; install the chart's roles"
                return StartError(ExitCode.NOT_PERMITTED, message)
            case _:
                message = (
                    f"{what}: {self._server} does not know the resource: {error.message}; install the CRDs of the chart"
                )
                return StartError(ExitCode.INPUT_MISSING, message)

    def _report(self, problem: str, now: float) -> None:
        if self._logged is None or self._logged[0] != problem or now - self._logged[1] >= LOG_SECONDS:
            self._logged = (problem, now)
            log.warning("%s; waiting for it", problem)
