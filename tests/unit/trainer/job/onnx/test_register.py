"""A run with an ONNX file, and the measured cost of predictions."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from onnx import TensorProto, helper

from tests.unit.trainer.job.mean import MeanFramework, config, pod, steps
from trainyard_api.wire import TrainingResult
from trainyard_trainer.artifacts.manifest import Manifest, parse_manifest
from trainyard_trainer.frameworks.base import OnnxModel
from trainyard_trainer.job.run import run_job
from trainyard_trainer.progress.log import JsonLines

RUN = "claims/models/all/shop/demand/runs/uid-1/1"


class WithOnnx(MeanFramework):
    """The mean as an ONNX graph: 0 times the input, plus the mean."""

    off: float = 0.0

    def to_onnx(self, model: Any) -> OnnxModel:
        graph = helper.make_graph(
            [helper.make_node("Mul", ["x", "zero"], ["nothing"]), helper.make_node("Add", ["nothing", "mean"], ["y"])],
            "mean",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows"])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows"])],
            [
                helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
                helper.make_tensor("mean", TensorProto.FLOAT, [], [model + self.off]),
            ],
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
        return OnnxModel(
            made.SerializeToString(),
            lambda rows: {"x": rows["a"].to_numpy(dtype=np.float32)},
            lambda outputs: pd.DataFrame({"prediction": outputs[0].astype(float)}),
        )


class Wrong(WithOnnx):
    off = 1.0


def run(folder: Path, framework: MeanFramework, **changes: Any) -> tuple[TrainingResult, Manifest]:
    env = pod(folder)
    code = run_job(lambda: config(**changes), env, lambda: False, display=JsonLines(), steps=steps(framework))
    assert code == 0, env.termination_log.read_text()
    result = TrainingResult.model_validate_json(env.termination_log.read_text())
    return result, parse_manifest((folder / RUN / "manifest.json").read_bytes(), "manifest")


REQUESTED = {"export": {"onnx": True}}


def test_the_onnx_file_is_registered_with_the_model(tmp_path: Path) -> None:
    result, manifest = run(tmp_path, WithOnnx(), **REQUESTED)
    assert result.formats == manifest.formats == ["mean-json", "onnx"]
    assert "model.onnx" in {entry.path for entry in manifest.files}
    assert manifest.measurements is not None
    assert manifest.measurements.onnx_max_difference is not None
    assert manifest.measurements.onnx_max_difference < 1e-6
    assert "onnxruntime" in manifest.libraries
    assert "ONNX: largest difference" in (tmp_path / RUN / "report.html").read_text()


def test_there_is_no_onnx_file_without_a_request(tmp_path: Path) -> None:
    result, manifest = run(tmp_path, WithOnnx())
    assert result.formats == ["mean-json"]
    assert not (tmp_path / RUN / "model.onnx").exists()
    assert manifest.measurements is not None
    assert manifest.measurements.onnx_max_difference is None


def test_a_wrong_onnx_file_is_left_out_with_a_warning(tmp_path: Path) -> None:
    result, manifest = run(tmp_path, Wrong(), **REQUESTED)
    assert result.formats == ["mean-json"]
    assert not (tmp_path / RUN / "model.onnx").exists()
    words = "the ONNX file was left out"
    assert any(words in warning for warning in manifest.warnings)
    assert any(words in warning for warning in result.warnings or ())
    assert words in (tmp_path / RUN / "report.html").read_text()


def test_measurements_do_not_change_the_content_digest(tmp_path: Path) -> None:
    manifests = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        manifests.append(run(tmp_path / name, WithOnnx(), **REQUESTED)[1])
    for manifest in manifests:
        found = manifest.measurements
        assert found is not None
        assert found.size_bytes == sum(entry.size for entry in manifest.files if entry.path == "mean.json")
        assert found.latency is not None
        assert 0 < found.latency.p50_ms <= found.latency.p95_ms
    assert manifests[0].content_sha256 == manifests[1].content_sha256 is not None
    page = (tmp_path / "first" / RUN / "report.html").read_text()
    assert re.search(r"Prediction of one row, median of \d+ calls", page)
