"""Requests and responses of the Open Inference Protocol: one tensor per column, one value per row."""

import difflib
import uuid
from collections.abc import Sequence
from typing import Any, Final

import orjson
import pandas as pd
from kserve import InferInput, InferOutput, InferRequest, InferResponse
from kserve.errors import InvalidInput
from kserve.protocol.rest.v2_datamodels import InferenceRequest
from pydantic import ValidationError

from trainyard_trainer.frameworks.signature import Column, ColumnError, ColumnType, frame_of
from trainyard_trainer.messages import messages_of

_NUMERIC: Final = {
    *("BOOL", "INT8", "INT16", "INT32", "INT64"),
    *("UINT8", "UINT16", "UINT32", "UINT64", "FP32", "FP64"),
}
_ACCEPTED: Final[dict[ColumnType, set[str]]] = {
    "double": _NUMERIC,
    "long": _NUMERIC,
    "boolean": _NUMERIC,
    "string": {"BYTES"},
    "datetime": {"BYTES"},
}
DATATYPES: Final[dict[ColumnType, str]] = {
    "double": "FP64",
    "long": "INT64",
    "boolean": "BOOL",
    "string": "BYTES",
    "datetime": "BYTES",
}
_FAULTS_SHOWN: Final = 3
_NAMES_SHOWN: Final = 20


def parse_request(body: bytes, model: str) -> InferRequest:
    """Parse the JSON of a request. Raises InvalidInput, which names the field."""
    try:
        request = InferenceRequest.model_validate_json(body)
    except ValidationError as error:
        raise InvalidInput("; ".join(messages_of(error)[:_FAULTS_SHOWN])) from error
    return InferRequest.from_inference_request(request, model)


def table_of(request: InferRequest, columns: Sequence[Column], max_rows: int) -> pd.DataFrame:
    """Return the rows of the request with exactly the columns of the model.

    Raises
    ------
    InvalidInput
        If a column is missing, unknown or sent twice, has another type, does not have one value per row, or differs in
        length. The message names the column. Also if there are no rows or too many rows.
    """
    sent = _by_name(request.inputs, columns)
    values = {column.name: _values(column, sent[column.name]) for column in columns}
    rows = _row_count(values, max_rows)
    if rows == 0:
        raise InvalidInput("the request has no rows; send at least one value per column")
    try:
        return frame_of(values, columns)
    except ColumnError as error:
        raise InvalidInput(str(error)) from error


def _by_name(inputs: Sequence[InferInput], columns: Sequence[Column]) -> dict[str, InferInput]:
    wanted = [column.name for column in columns]
    sent: dict[str, InferInput] = {}
    for tensor in inputs:
        if tensor.name in sent:
            raise InvalidInput(f"the request contains column {tensor.name!r} twice; send each column once")
        if tensor.name not in wanted:
            near = difflib.get_close_matches(tensor.name, wanted, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the model needs {_listed(wanted)}"
            raise InvalidInput(f"the model has no column {tensor.name!r}; {hint}")
        sent[tensor.name] = tensor
    missing = [name for name in wanted if name not in sent]
    if missing:
        raise InvalidInput(
            f"the request has no column{'s' if len(missing) > 1 else ''} {_listed(missing)}; send null for "
            "unknown values"
        )
    return sent


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_NAMES_SHOWN])
    return shown if len(names) <= _NAMES_SHOWN else f"{shown} and {len(names) - _NAMES_SHOWN} more"


def _values(column: Column, tensor: InferInput) -> list[Any]:
    accepted = _ACCEPTED[column.type]
    if tensor.datatype not in accepted:
        raise InvalidInput(
            f"column {column.name!r} is of type {column.type} and accepts {_words(accepted)}; the request "
            f"has {tensor.datatype}"
        )
    shape = list(tensor.shape)
    if len(shape) not in {1, 2} or shape[1:] not in ([], [1]):
        raise InvalidInput(f"column {column.name!r} has the shape {shape}; send one value per row: [rows] or [rows, 1]")
    data = tensor.data
    if len(shape) == 2 and data and all(isinstance(row, list) and len(row) == 1 for row in data):
        data = [row[0] for row in data]
    if len(data) != shape[0]:
        raise InvalidInput(
            f"column {column.name!r} has the shape {shape} but {len(data)} values; send as many values as "
            "the shape says"
        )
    return list(data)


def _words(datatypes: set[str]) -> str:
    return "BYTES (text)" if datatypes == {"BYTES"} else "numbers (FP64, INT64, BOOL and their smaller types)"


def _row_count(values: dict[str, list[Any]], max_rows: int) -> int:
    first, *others = values
    rows = len(values[first])
    for name in others:
        if len(values[name]) != rows:
            raise InvalidInput(
                f"column {name!r} has {len(values[name])} rows and column {first!r} has {rows}; send equally "
                "many rows in each"
            )
    if rows > max_rows:
        raise InvalidInput(f"the request has {rows} rows, at most {max_rows} are allowed; send them in parts")
    return rows


def encode_response(
    request: InferRequest, predictions: pd.DataFrame, columns: Sequence[Column], model: str, version: int
) -> bytes:
    """Return the JSON of a response. Its ID is that of the request, or a new one. Missing numbers are null.

    Raises
    ------
    InvalidInput
        If the request names an output that the model does not have.
    """
    by_name = {column.name: column for column in columns}
    wanted = [output.name for output in request.request_outputs or ()] or list(by_name)
    for name in wanted:
        if name not in by_name:
            raise InvalidInput(f"the model has no output {name!r}; its outputs are {_listed(list(by_name))}")
    response = InferResponse(
        response_id=request.id or str(uuid.uuid4()),
        model_name=model,
        model_version=str(version),
        infer_outputs=[_tensor(by_name[name], predictions[name]) for name in wanted],
    )
    body: bytes = orjson.dumps(response.to_rest()[0])
    return body


def _tensor(column: Column, values: "pd.Series[Any]") -> InferOutput:
    array = values.to_numpy(dtype=object if column.type in {"string", "datetime"} else None)
    return InferOutput(name=column.name, shape=[len(array)], datatype=DATATYPES[column.type], data=array)


def metadata_of(columns: Sequence[Column]) -> list[dict[str, Any]]:
    """Return the columns as tensor metadata of the protocol. The shape -1 means any number of rows."""
    return [{"name": column.name, "datatype": DATATYPES[column.type], "shape": [-1]} for column in columns]
