"""Written, checked, loaded back and asked: an ONNX file that fails at any of it is left out, never the model.

The session runs on the CPU with one thread.
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
"""Asked at once."""

_ONLY_FATAL: Final = 4
"""Of onnxruntime's levels: what goes wrong comes as an exception too."""


@dataclass(frozen=True)
class Exported:
    """The file, relative to the output folder, and how far its answers are from the model's; or why there is none."""

    file: str | None
    max_difference: float | None = None
    warning: str | None = None


class _NotKeptError(Exception):
    """Why a file cannot be kept."""


def export(
    framework: Framework, model: Any, golden: Golden, output: Path, proof: pd.DataFrame | None = None
) -> Exported:
    """Write ``model.onnx`` into ``output`` and prove it on the golden rows: all at once, and one alone.

    Parameters
    ----------
    model
        As ``framework.predict`` takes it.
    proof
        Further rows on which it must answer as the model does: see :func:`trainyard_trainer.job.onnx.proof.proof_rows`.

    Returns
    -------
    Never raises for what the model, the converter or the runtime do: see ``Exported.warning``.
    """
    file = output / MODEL_FILE
    try:
        made = framework.to_onnx(model)
        if made is None:
            raise _NotKeptError(f"framework {framework.name} has no such form")
        file.write_bytes(made.body)
        predict = _checked(made, file)
        difference = _prove(predict, golden)
        if proof is not None:
            difference = max(difference, _prove_all(predict, proof, framework.predict(model, proof)))
    except _NotKeptError as reason:
        return _left_out(file, str(reason))
    except Exception as error:  # noqa: BLE001 - converters raise anything; the model is sound without its second form
        lines = str(error).strip().splitlines()
        return _left_out(file, f"{type(error).__name__}: {lines[0] if lines else 'no message'}")
    return Exported(MODEL_FILE, difference)


Predict = Callable[[pd.DataFrame], pd.DataFrame]


def _checked(made: OnnxModel, file: Path) -> Predict:
    """Return what asks a file that is valid and loads. Raises whatever the libraries raise."""
    import onnx
    import onnxruntime

    onnx.checker.check_model(onnx.load(file), full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _ONLY_FATAL
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda rows: made.decode(session.run(None, made.feed(rows)))


def _prove(predict: Predict, golden: Golden) -> float:
    """Return the largest difference on the golden rows. Raises _NotKeptError."""
    difference = max_difference(golden.outputs, predict(golden.inputs))
    if not difference <= TOLERANCE:
        raise _NotKeptError(
            f"its answers to the golden rows differ by {difference:.3g}, more than {TOLERANCE:g}"
            f"{too_fine(golden.inputs)}"
        )
    one = max_difference(golden.outputs.iloc[:1], predict(golden.inputs.iloc[:1]))
    if not one <= TOLERANCE:
        raise _NotKeptError(f"asked for one row alone, its answer differs by {one:.3g}, more than {TOLERANCE:g}")
    return difference


def _prove_all(predict: Predict, rows: pd.DataFrame, expected: pd.DataFrame) -> float:
    """Return the largest difference on all of the rows. Raises _NotKeptError.

    Of classes the probabilities count: at the threshold a difference of a millionth calls the other class.
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
            f"its answers to held-out rows or to extremes of a column differ by up to {worst:.3g}, more than "
            f"{TOLERANCE:g}{too_fine(rows)}"
        )
    return worst


def _left_out(file: Path, reason: str) -> Exported:
    file.unlink(missing_ok=True)
    return Exported(None, None, f"the ONNX file was left out, the model itself was kept: {reason}")
