"""A loaded version as a model of the kserve SDK. All work runs outside the event loop."""

import asyncio
from concurrent.futures import Executor
from typing import Any, Final

from kserve.errors import InvalidInput
from kserve.model import InferenceModel, InferenceVerb

from trainyard_server import tensors
from trainyard_server.loading import LoadedModel
from trainyard_trainer.errors import DataError

MAX_PENDING: Final = 256
"""Limit of requests that run or are queued for a thread. With more, clients would time out before the response."""


class Overloaded(Exception):  # noqa: N818 - named after the response, as in the SDK
    """Too many requests are already pending."""


class ServedModel(InferenceModel):  # type: ignore[misc]  # the SDK is not typed
    """One version of one model.

    Parameters
    ----------
    executor
        Runs the predictions. Its size limits how many run at the same time.
    """

    def __init__(self, loaded: LoadedModel, executor: Executor, max_rows: int) -> None:
        super().__init__(loaded.target.model)
        self.loaded = loaded
        self.ready = True
        self._executor = executor
        self._max_rows = max_rows
        self._pending = 0

    async def __call__(self, body: bytes, headers: Any = None, verb: Any = InferenceVerb.PREDICT) -> bytes:  # noqa: ARG002 - the SDK's signature
        """Return the JSON response to a JSON request.

        Raises
        ------
        InvalidInput
            If the request does not fit the model; the message names the column.
        Overloaded
            If ``MAX_PENDING`` requests are running or pending.
        """
        if self._pending >= MAX_PENDING:
            raise Overloaded(f"{MAX_PENDING} requests are already waiting; try again later, or add replicas")
        self._pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, self._respond, body)
        finally:
            self._pending -= 1

    def get_input_types(self) -> list[dict[str, Any]]:
        """Return the input columns of the model as tensor metadata."""
        return tensors.metadata_of(self.loaded.columns.inputs)

    def get_output_types(self) -> list[dict[str, Any]]:
        """Return the output columns of the model as tensor metadata."""
        return tensors.metadata_of(self.loaded.columns.outputs)

    def _respond(self, body: bytes) -> bytes:
        columns, target = self.loaded.columns, self.loaded.target
        request = tensors.parse_request(body, self.name)
        try:
            predictions = self.loaded.predict(tensors.table_of(request, columns.inputs, self._max_rows))
        except DataError as error:
            raise InvalidInput(str(error)) from error
        return tensors.encode_response(request, predictions, columns.outputs, self.name, target.version)
