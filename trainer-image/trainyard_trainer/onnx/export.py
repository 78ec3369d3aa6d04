"""Written, checked, loaded back and asked: an ONNX file that fails at any of it is left out, never the model.

The session runs on the CPU with one thread: what is asked is a few golden rows.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from trainyard_trainer.frameworks.base import Framework, Golden, OnnxModel
from trainyard_trainer.golden import TOLERANCE, max_difference

FORMAT: Final = "onnx"
MODEL_FILE: Final = "model.onnx"

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


def export(framework: Framework, model: Any, golden: Golden, output: Path) -> Exported:
    """Write ``model.onnx`` into ``output`` and prove it on the golden rows: all at once, and one alone.

    Parameters
    ----------
    model
        As ``framework.predict`` takes it.

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
        difference = _prove(made, file, golden)
    except _NotKeptError as reason:
        return _left_out(file, str(reason))
    except Exception as error:  # noqa: BLE001 - converters raise anything; the model is sound without its second form
        lines = str(error).strip().splitlines()
        return _left_out(file, f"{type(error).__name__}: {lines[0] if lines else 'no message'}")
    return Exported(MODEL_FILE, difference)


def _prove(made: OnnxModel, file: Path, golden: Golden) -> float:
    """Return the largest difference on the golden rows. Raises _NotKeptError, and whatever the libraries raise."""
    import onnx
    import onnxruntime

    onnx.checker.check_model(onnx.load(file), full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _ONLY_FATAL
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def answer(rows: pd.DataFrame) -> pd.DataFrame:
        return made.answer(session.run(None, made.feed(rows)))

    difference = max_difference(golden.outputs, answer(golden.inputs))
    if not difference <= TOLERANCE:
        raise _NotKeptError(f"its answers to the golden rows differ by {difference:.3g}, more than {TOLERANCE:g}")
    one = max_difference(golden.outputs.iloc[:1], answer(golden.inputs.iloc[:1]))
    if not one <= TOLERANCE:
        raise _NotKeptError(f"asked for one row alone, its answer differs by {one:.3g}, more than {TOLERANCE:g}")
    return difference


def _left_out(file: Path, reason: str) -> Exported:
    file.unlink(missing_ok=True)
    return Exported(None, None, f"the ONNX file was left out, the model itself was kept: {reason}")
