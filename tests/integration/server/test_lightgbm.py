"""A LightGBM classifier behind the inference protocol: the library's own numbers, and one message for every bad
request.
"""

import json
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import requests

from tests.integration.server.process import ServerProcess, Stored
from tests.integration.server.tables import predictions_of, request_of, shops

FEATURES = ["x", "open", "shop [name]"]
CLASSES = ["large", "middle", "small"]


def valid_request(rows: int = 3) -> dict[str, Any]:
    return request_of(shops()[FEATURES].head(rows), id="r-1")


def test_predictions_equal_those_of_the_library(
    classifier: Stored, classifier_server: ServerProcess, tmp_path: Path
) -> None:
    rows = shops()[FEATURES]
    rows.loc[7, "shop [name]"] = "a town it has never seen"
    response = classifier_server.infer(request_of(rows, id="my-request"))
    assert response.status_code == 200, response.text
    payload = response.json()
    assert (payload["id"], payload["model_name"], payload["model_version"]) == ("my-request", classifier.model, "1")

    bucket, key = classifier.bucket_and_key
    client = classifier.store.client()
    client.download_file(bucket, f"{key}/model.txt", str(tmp_path / "model.txt"))
    shop = pd.Categorical(rows["shop [name]"], categories=["east", "north", "south"])
    table = pd.DataFrame({"x": rows["x"], "open": rows["open"].astype(float), "shop": shop})
    expected = lightgbm.Booster(model_file=tmp_path / "model.txt").predict(table)
    found = predictions_of(payload)
    np.testing.assert_array_equal(found[[f"probability:{name}" for name in CLASSES]].to_numpy(), expected)
    assert found["prediction"].tolist() == [CLASSES[index] for index in np.argmax(expected, axis=1)]


def test_a_request_without_an_id_gets_a_new_one(classifier_server: ServerProcess) -> None:
    request = {name: value for name, value in valid_request().items() if name != "id"}
    ids = {classifier_server.infer(request).json()["id"] for _ in range(2)}
    assert len(ids) == 2


def test_only_the_requested_outputs_are_returned(classifier_server: ServerProcess) -> None:
    payload = classifier_server.infer({**valid_request(), "outputs": [{"name": "prediction"}]}).json()
    assert [output["name"] for output in payload["outputs"]] == ["prediction"]


def test_columns_with_two_dimensions_are_accepted(classifier_server: ServerProcess) -> None:
    request = valid_request()
    for tensor_of in request["inputs"]:
        tensor_of["shape"] = [3, 1]
    flat = classifier_server.infer(request).json()
    for tensor_of in request["inputs"]:
        tensor_of["data"] = [[value] for value in tensor_of["data"]]
    assert classifier_server.infer(request).json() == flat == classifier_server.infer(valid_request()).json()


def test_metadata_has_version_digest_and_columns(classifier: Stored, classifier_server: ServerProcess) -> None:
    metadata = requests.get(classifier_server.path, timeout=30).json()
    assert metadata["versions"] == ["1"]
    assert metadata["parameters"] == {
        "framework": "LightGBM",
        "manifestSha256": classifier.artifact.manifest_sha256,
    }
    assert [(column["name"], column["datatype"]) for column in metadata["inputs"]] == [
        ("x", "FP64"),
        ("open", "FP64"),
        ("shop [name]", "BYTES"),
    ]
    assert [column["name"] for column in metadata["outputs"]] == [
        "prediction",
        *(f"probability:{name}" for name in CLASSES),
    ]
    assert requests.get(f"{classifier_server.path}/versions/1", timeout=30).json() == metadata
    assert requests.get(f"{classifier_server.path}/versions/1/ready", timeout=30).status_code == 200
    assert requests.get(f"{classifier_server.path}/versions/2/ready", timeout=30).status_code == 404
    assert classifier_server.infer(valid_request(), "/versions/1").status_code == 200
    assert classifier_server.infer(valid_request(), "/versions/2").status_code == 404


def test_clients_cannot_unload_models(classifier_server: ServerProcess) -> None:
    url = f"{classifier_server.url}/v2/repository/models/{classifier_server.model}/unload"
    assert requests.post(url, timeout=30).status_code == 404


def test_metrics_count_requests_by_code(classifier: Stored, classifier_server: ServerProcess) -> None:
    classifier_server.infer(valid_request())
    classifier_server.infer({"inputs": []})
    text = requests.get(f"{classifier_server.url}/metrics", timeout=30).text
    labels = f'model="{classifier.model}",version="1"'
    assert f'trainyard_server_requests_total{{code="200",{labels}}}' in text
    assert f'trainyard_server_requests_total{{code="400",{labels}}}' in text
    assert f"trainyard_server_request_duration_seconds_count{{{labels}}}" in text
    assert f'manifest_sha256="{classifier.artifact.manifest_sha256}",{labels}}} 1.0' in text


def tensor_of(request: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in request["inputs"] if one["name"] == name)
    return found


def changed(column: str, **fields: Any) -> dict[str, Any]:
    request = valid_request()
    tensor_of(request, column).update(fields)
    return request


def without(name: str) -> dict[str, Any]:
    request = valid_request()
    request["inputs"].remove(tensor_of(request, name))
    return request


BAD = {
    "missing column": (without("x"), "no column 'x'"),
    "unknown column": (changed("x", name="y"), "no column 'y'; the model needs 'x', 'open', 'shop [name]'"),
    "misspelt column": (changed("shop [name]", name="shop name"), "did you mean 'shop [name]'?"),
    "column sent twice": (changed("x", name="open"), "the request contains column 'open' twice; send each column once"),
    "text for numbers": (changed("x", datatype="BYTES"), "column 'x' is of type double and accepts numbers"),
    "numbers for text": (changed("shop [name]", datatype="FP64"), "column 'shop [name]' is of type string and accepts"),
    "a text among numbers": (changed("x", data=[1, "two", 3]), "column 'x', row 2: 'two' is not a number"),
    "a number among texts": (changed("shop [name]", data=["a", 2, "b"]), "column 'shop [name]', row 2: 2 is not text"),
    "an object as value": (changed("x", data=[1, {"a": 1}, 3]), "column 'x', row 2: {'a': 1} is not a number"),
    "too large a number": (changed("x", data=[10**400, 1, 2]), "column 'x' has a number that is too large"),
    "ragged": (changed("x", shape=[2], data=[1, 2]), "column 'open' has 3 rows and column 'x' has 2"),
    "shape and data differ": (
        changed("x", shape=[4]),
        "column 'x' has the shape [4] but 3 values; send as many values as the shape says",
    ),
    "a matrix": (changed("x", shape=[3, 2], data=[1] * 6), "column 'x' has the shape [3, 2]; send one value per row"),
    "no shape": (changed("x", shape=[]), "column 'x' has the shape []"),
    "no rows": (request_of(shops()[FEATURES].head(0)), "the request has no rows"),
    "too many rows": (
        valid_request(300) | request_of(pd.concat([shops()[FEATURES]] * 34)),
        "at most 10000 are allowed",
    ),
    "no inputs": ({"id": "1"}, "inputs: is required"),
    "no datatype": ({"inputs": [{"name": "x", "shape": [1], "data": [1]}]}, "inputs[0].datatype: is required"),
    "unknown datatype": (changed("x", datatype="COMPLEX"), "the request has COMPLEX"),
    "half precision": (changed("x", datatype="FP16"), "x"),
    "unknown output": (
        {**valid_request(), "outputs": [{"name": "p"}]},
        "no output 'p'; its outputs are 'prediction'",
    ),
    "a list": ([], "Input should be an object"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_refused_with_a_message(case: str, classifier_server: ServerProcess) -> None:
    body, said = BAD[case]
    response = classifier_server.infer(body)
    assert response.status_code == 400, response.text
    assert said in response.json()["error"]


@pytest.mark.parametrize(
    ("body", "headers", "code", "said"),
    [
        (b"{", {}, 400, "Invalid JSON"),
        (b"", {}, 400, "Invalid JSON"),
        (b"\xff\xfe", {}, 400, "Invalid JSON"),
        (b"{}", {"Inference-Header-Content-Length": "2"}, 400, "binary tensors are not supported"),
        (json.dumps(valid_request()).replace("null", "Infinity").encode(), {}, 200, ""),
        (b" " * (33 * 1024 * 1024), {}, 413, "send the rows in parts"),
    ],
    ids=["cut off", "empty", "no text", "binary", "whole", "too large"],
)
def test_a_body_that_is_not_a_request_is_refused(
    classifier_server: ServerProcess, body: bytes, headers: dict[str, str], code: int, said: str
) -> None:
    response = requests.post(f"{classifier_server.path}/infer", data=body, headers=headers, timeout=30)
    assert (response.status_code, said in response.text) == (code, True), response.text


def test_infinite_values_are_refused_and_nan_is_a_missing_value(classifier_server: ServerProcess) -> None:
    text = json.dumps(changed("x", data=["VALUE", 0.5, 0.5]))
    for value, code in [("Infinity", 400), ("NaN", 200)]:
        body = text.replace('"VALUE"', value).encode()
        response = requests.post(f"{classifier_server.path}/infer", data=body, timeout=30)
        assert response.status_code == code, response.text


def test_another_model_is_unknown(classifier_server: ServerProcess) -> None:
    url = f"{classifier_server.url}/v2/models/another"
    assert requests.get(url, timeout=30).json() == {"error": "Model with name another does not exist."}
    assert requests.get(f"{url}/ready", timeout=30).status_code == 404
    assert requests.post(f"{url}/infer", json=valid_request(), timeout=30).status_code == 404
