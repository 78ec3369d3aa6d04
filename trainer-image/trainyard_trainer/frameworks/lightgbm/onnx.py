"""LightGBM's trees as ONNX. The converter is imported only here, because that takes half a second."""

from typing import Final

import lightgbm

INPUT: Final = "rows"
"""One tensor of all features in order. A text feature is the code of its value; missing values are NaN."""

_OPSET: Final = 15
_LABEL: Final = "label"


def converted(booster: lightgbm.Booster) -> bytes:
    """Return the trees as an ONNX model with one output: numbers, or probabilities of shape (rows, classes).

    Raises the errors of the converter, for example for an unknown objective.
    """
    from onnxmltools.convert import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    shape = [None, booster.num_feature()]
    model = convert_lightgbm(
        booster, initial_types=[(INPUT, FloatTensorType(shape))], zipmap=False, target_opset=_OPSET
    )
    # Remove the label output: the converter gives it a fixed length of one row, and it ignores the threshold.
    kept = [output for output in model.graph.output if output.name != _LABEL]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    return bytes(model.SerializeToString())
