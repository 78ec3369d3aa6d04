"""Write an ONNX file, validate it, load it and compare its predictions.

If a step fails, only the ONNX file is left out.

The inference session runs on the CPU with one thread.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from trainyard_trainer.frameworks.base import Framework, Golden, OnnxModel
from trainyard_trainer.frameworks.golden import TOLERANCE, max_difference
from trainyard_trainer.job.onnx.proof import too_fine

FORMAT: Final = "onnx"
MODEL_FILE: Final = "model.onnx"

_ROWS: Final = 50_000
"""Number of rows per call."""

_ONLY_FATAL: Final = 4
"""Log level of onnxruntime for fatal errors. Other errors are also raised as exceptions."""


@dataclass(frozen=True)
class Exported:
    """The file, relative to the output folder, and the largest difference from the model's predictions; or a
    warning.
    """

    file: str | None
    max_difference: float | None = None
    warning: str | None = None


class _NotKeptError(Exception):
    """The file cannot be kept. The message is the reason."""


def export(
    framework: Framework, model: Any, golden: Golden, output: Path, proof: pd.DataFrame | None = None
) -> Exported:
    """Write ``model.onnx`` into ``output`` and check it on the golden rows: all at once, and one alone.

    Parameters
    ----------
    model
        The model, as ``framework.predict`` takes it.
    proof
        Additional rows on which it must reproduce the predictions of the model: see
        :func:`trainyard_trainer.job.onnx.proof.proof_rows`.

    Returns
    -------
    The file, or a warning. Errors of the model, the converter or the runtime are never raised: see
    ``Exported.warning``.
    """
    file = output / MODEL_FILE
    try:
        exported = framework.to_onnx(model)
        if exported is None:
            raise _NotKeptError(f"framework {framework.name} has no ONNX form")
        file.write_bytes(exported.body)
        predict = _checked(exported, file)
        difference = _check_golden_rows(predict, golden)
        if proof is not None:
            difference = max(difference, _check_rows(predict, proof, framework.predict(model, proof)))
    except _NotKeptError as reason:
        return _left_out(file, str(reason))
    except Exception as error:  # noqa: BLE001 - converters raise any error; the model is valid without ONNX
        lines = str(error).strip().splitlines()
        return _left_out(file, f"{type(error).__name__}: {lines[0] if lines else 'no message'}")
    return Exported(MODEL_FILE, difference)


Predict = Callable[[pd.DataFrame], pd.DataFrame]


def _checked(exported: OnnxModel, file: Path) -> Predict:
    """Return a prediction function for a file that is valid and can be loaded. Raises any error of the libraries."""
    import onnx
    import onnxruntime

    onnx.checker.check_model(onnx.load(file), full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _ONLY_FATAL
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda rows: exported.decode(session.run(None, exported.feed(rows)))


def _check_golden_rows(predict: Predict, golden: Golden) -> float:
    """Return the largest difference on the golden rows. Raises _NotKeptError."""
    difference = max_difference(golden.outputs, predict(golden.inputs))
    if not difference <= TOLERANCE:
        raise _NotKeptError(
            f"its predictions for the golden rows differ by {difference:.3g}, more than "
            f"{TOLERANCE:g}{too_fine(golden.inputs)}"
        )
    one = max_difference(golden.outputs.iloc[:1], predict(golden.inputs.iloc[:1]))
    if not one <= TOLERANCE:
        raise _NotKeptError(f"its prediction for a single row differs by {one:.3g}, more than {TOLERANCE:g}")
    return difference


def _check_rows(predict: Predict, rows: pd.DataFrame, expected: pd.DataFrame) -> float:
    """Return the largest difference on all rows. Raises _NotKeptError.

    For classes, only the probabilities are compared. Near the threshold, a difference of 1e-6 can change the class.
    """
    numbers = [name for name in expected.columns if pd.api.types.is_numeric_dtype(expected[name])] or [
        *expected.columns
    ]
    differences = [
        max_difference(
            expected[numbers].iloc[start : start + _ROWS], predict(rows.iloc[start : start + _ROWS])[numbers]
        )
        for start in range(0, len(rows), _ROWS)
    ]
    worst = max(differences, default=0.0)
    if not worst <= TOLERANCE:
        raise _NotKeptError(
            "its predictions for held-out rows or for extreme values of a column differ by up to "
            f"{worst:.3g}, more than {TOLERANCE:g}{too_fine(rows)}"
        )
    return worst


def _left_out(file: Path, reason: str) -> Exported:
    file.unlink(missing_ok=True)
    return Exported(None, None, f"the ONNX file was left out, the model itself was kept: {reason}")
