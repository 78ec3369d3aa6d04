"""The ONNX export of LightGBM: onnxruntime makes the same predictions with numbers, text and missing values."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import context_of, dataset_of, job, write
from trainyard_trainer.frameworks.registry import framework_for
from trainyard_trainer.job.onnx.export import MODEL_FILE, Exported, export
from trainyard_trainer.job.onnx.proof import proof_rows

KINDS = ["red", "green", "blue", "yellow", "grey"]


def table(rows: int = 400) -> pd.DataFrame:
    random = np.random.default_rng(3)
    kind = random.integers(0, len(KINDS), rows)
    a = random.random(rows)
    y = 2 * a + np.array([0.0, 0.5, -0.5, 1.0, 0.2])[kind]
    frame = pd.DataFrame({"a": a, "kind": np.array(KINDS)[kind], "gaps": random.random(rows), "y": y})
    frame.loc[::5, "gaps"] = np.nan
    frame.loc[::9, "kind"] = None
    return frame.assign(two=np.where(y > 1, "yes", "no"), three=pd.cut(y, 3, labels=["low", "middle", "high"]))


def exported(folder: Path, task: str, target: str, **parameters: Any) -> tuple[Exported, Any, Any, pd.DataFrame]:
    frame = table()[["a", "kind", "gaps", target]]
    config = job(
        write(folder, frame.to_csv(index=False)),
        task=task,
        target=target,
        export={"onnx": True},
        parameters={"num_iterations": 30, "min_data_in_leaf": 5, **parameters},
    )
    framework, dataset, context = framework_for(config), dataset_of(config, folder), context_of(config, folder)
    evaluation = framework.evaluate(dataset, framework.train(dataset, context), context)
    model = framework.load(context.output)
    made = export(framework, model, evaluation.golden, context.output, proof_rows(dataset))
    return made, framework, model, frame


@pytest.mark.parametrize(
    ("task", "target", "parameters"),
    [
        ("Regression", "y", {}),
        ("Regression", "y", {"objective": "l1"}),
        ("Classification", "two", {}),
        ("Classification", "three", {}),
    ],
)
def test_every_row_has_the_same_prediction(tmp_path: Path, task: str, target: str, parameters: dict[str, Any]) -> None:
    made, framework, model, frame = exported(tmp_path, task, target, **parameters)
    assert (made.file, made.warning) == (MODEL_FILE, None)
    second = framework.to_onnx(model)
    session = _session(second.body)
    strange = frame.head(1).assign(kind="never seen")
    rows = pd.concat([frame, strange], ignore_index=True)
    found, expected = second.decode(session.run(None, second.feed(rows))), framework.predict(model, rows)
    pd.testing.assert_frame_equal(found, expected, atol=1e-4)


def test_its_only_output_has_any_number_of_rows(tmp_path: Path) -> None:
    *_, framework, model, _ = exported(tmp_path, "Classification", "two")
    outputs = onnx.load_from_string(framework.to_onnx(model).body).graph.output
    assert [output.name for output in outputs] == ["probabilities"]
    assert not outputs[0].type.tensor_type.shape.dim[0].dim_value


def test_a_wrong_conversion_is_left_out(tmp_path: Path) -> None:
    made, *_ = exported(tmp_path, "Regression", "y", linear_tree=True)
    assert made.file is None
    assert made.warning is not None
    assert "the ONNX file was left out" in made.warning
    assert not (tmp_path / "output" / MODEL_FILE).exists()


def test_probabilities_of_multiclassova_sum_to_one(tmp_path: Path) -> None:
    _, framework, model, frame = exported(tmp_path, "Classification", "three", objective="multiclassova")
    predictions = framework.predict(model, frame).filter(like="probability:")
    assert predictions.sum(axis=1).to_numpy() == pytest.approx(1)


def _session(body: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(body, options)


def test_a_time_in_seconds_is_too_fine_for_single_precision(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    seconds = 1_700_000_000 + np.sort(random.integers(0, 86_400, 2000))
    frame = pd.DataFrame({"seconds": seconds, "a": random.random(2000), "y": np.sin(seconds / 300)})
    config = job(write(tmp_path, frame.to_csv(index=False)), parameters={"num_leaves": 127, "min_data_in_leaf": 5})
    framework, dataset, context = framework_for(config), dataset_of(config, tmp_path), context_of(config, tmp_path)
    evaluation = framework.evaluate(dataset, framework.train(dataset, context), context)
    made = export(framework, framework.load(context.output), evaluation.golden, context.output, proof_rows(dataset))
    assert made.file is None
    assert made.warning is not None
    assert "values of 'seconds' (around 1.7" in made.warning
    assert "need a higher precision than the single precision of ONNX" in made.warning


def test_the_proof_has_all_held_out_rows_and_the_extremes_of_each_column(tmp_path: Path) -> None:
    config = job(write(tmp_path, table()[["a", "kind", "gaps", "y"]].to_csv(index=False)))
    dataset = dataset_of(config, tmp_path)
    rows = proof_rows(dataset)
    assert rows is not None
    assert len(rows) == len(dataset.parts.test) + 4
    for index, name in enumerate(("a", "gaps")):
        column = dataset.frame[name]
        assert rows[name].iloc[-4 + 2 * index] == column.min()
        assert rows[name].iloc[-3 + 2 * index] == column.max()
