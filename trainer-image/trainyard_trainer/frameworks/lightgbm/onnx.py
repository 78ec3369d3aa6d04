"""LightGBM's trees as ONNX. The converter is imported only here: it takes half a second."""

from typing import Final

import lightgbm

INPUT: Final = "rows"
"""One tensor of all features, in their order; a text feature is the number of its value, what is missing NaN."""

_OPSET: Final = 15
_LABEL: Final = "label"


def converted(booster: lightgbm.Booster) -> bytes:
    """Return the trees as a model of one output: numbers, or probabilities of shape (rows, classes).

    Raises what the converter raises, such as for an objective that it does not know.
    """
    from onnxmltools.convert import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    shape = [None, booster.num_feature()]
    model = convert_lightgbm(
        booster, initial_types=[(INPUT, FloatTensorType(shape))], zipmap=False, target_opset=_OPSET
    )
    # The converter says that there is one label, however many rows; a threshold is not in it either.
    kept = [output for output in model.graph.output if output.name != _LABEL]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    return bytes(model.SerializeToString())
