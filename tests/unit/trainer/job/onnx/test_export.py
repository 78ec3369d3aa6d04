"""The ONNX file is kept only if it is valid, loads, and predicts as the model does, for many rows and for one row."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from onnx import TensorProto, helper

from tests.unit.trainer.data.jobs import job
from tests.unit.trainer.job.mean import MeanFramework
from trainyard_trainer.errors import Unsupported
from trainyard_trainer.frameworks.base import Golden, OnnxModel
from trainyard_trainer.frameworks.registry import framework_for
from trainyard_trainer.job.onnx.export import MODEL_FILE, export

INPUTS = pd.DataFrame({"a": [1.0, 2.0, 5.0], "b": [0.5, 0.0, -1.0]})
WEIGHTS = np.array([[2.0], [3.0]], dtype=np.float32)


def predict(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"prediction": rows.to_numpy() @ WEIGHTS.astype(float)[:, 0]})


GOLDEN = Golden(INPUTS, predict(INPUTS))


def model(weights: np.ndarray = WEIGHTS, rows: int | str = "rows") -> OnnxModel:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, 1])],
        [helper.make_tensor("w", TensorProto.FLOAT, [2, 1], weights.ravel())],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    return OnnxModel(
        made.SerializeToString(),
        lambda frame: {"x": frame.to_numpy(dtype=np.float32)},
        lambda outputs: pd.DataFrame({"prediction": outputs[0][:, 0].astype(float)}),
    )


@dataclass
class Linear(MeanFramework):
    make: Callable[[], OnnxModel | None] = model
    name: str = "linear"

    def to_onnx(self, model: Any) -> OnnxModel | None:  # noqa: ARG002
        return self.make()


def test_a_valid_file_is_kept_and_runs(tmp_path: Path) -> None:
    made = export(Linear(), None, GOLDEN, tmp_path)
    assert (made.file, made.warning) == (MODEL_FILE, None)
    assert made.max_difference is not None
    assert made.max_difference < 1e-6
    session = onnxruntime.InferenceSession(tmp_path / MODEL_FILE)
    found = session.run(None, {"x": np.ones((7, 2), dtype=np.float32)})[0]
    assert found.tolist() == [[5.0]] * 7


def _raise() -> OnnxModel:
    raise RuntimeError("operator Fold is not known\nat line 7")


def _broken() -> OnnxModel:
    return OnnxModel(b"not a model", *_ways())


def _invalid() -> OnnxModel:
    """Return a graph with an output that no node computes. It can be parsed, but no runtime accepts it."""
    parsed = onnx.load_from_string(model().body)
    parsed.graph.output[0].name = "nowhere"
    return OnnxModel(parsed.SerializeToString(), *_ways())


def _ways() -> tuple[Any, Any]:
    good = model()
    return good.feed, good.decode


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: None, "framework linear has no ONNX form"),
        (_raise, "RuntimeError: operator Fold is not known"),
        (lambda: model(WEIGHTS * 1.001), "its predictions for the golden rows differ by 0.00"),
        (lambda: model(rows=3), "INVALID_ARGUMENT"),
        (_broken, "DecodeError"),
        (_invalid, "nowhere"),
    ],
    ids=["none", "converter", "parity", "fixed batch", "bytes", "graph"],
)
def test_an_invalid_file_is_left_out_with_the_reason(
    tmp_path: Path, make: Callable[[], OnnxModel | None], words: str
) -> None:
    made = export(Linear(make=make), None, GOLDEN, tmp_path)
    assert made.file is None
    assert made.warning is not None
    assert made.warning.startswith("the ONNX file was left out, the model itself was kept: ")
    assert words in made.warning
    assert "\n" not in made.warning
    assert list(tmp_path.iterdir()) == []


def test_classes_are_compared_as_text(tmp_path: Path) -> None:
    named = Golden(INPUTS, pd.DataFrame({"prediction": ["low", "low", "high"]}))

    def decode(cut: float) -> OnnxModel:
        made = model()
        return OnnxModel(
            made.body,
            made.feed,
            lambda out: pd.DataFrame({"prediction": np.where(out[0][:, 0] > cut, "high", "low")}),
        )

    assert export(Linear(make=lambda: decode(6)), None, named, tmp_path).file == MODEL_FILE
    assert export(Linear(make=lambda: decode(0)), None, named, tmp_path).file is None


@pytest.mark.parametrize("framework", ["Prophet", "LightGBM"])
def test_a_forecast_without_onnx_is_refused_before_data_is_read(framework: str) -> None:
    requested = job("s3://bucket/t.csv", task="Forecast", framework=framework, export={"onnx": True})
    with pytest.raises(Unsupported, match=f"spec.export.onnx: framework {framework} with task Forecast has no ONNX"):
        framework_for(requested)
