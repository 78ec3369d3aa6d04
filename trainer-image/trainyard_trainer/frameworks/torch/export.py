"""Export of a trained network: its weights as safetensors, and the network as ONNX."""

import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from trainyard_trainer.frameworks.torch.model import WEIGHTS_FILE, Run

_OPSET: Final = 18
_ROWS_AT_ONCE: Final = 16_384


class Probabilities(nn.Module):
    """A classification network whose outputs are probabilities instead of logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return a row of numbers that sum to 1."""
        return torch.softmax(self.network(*inputs), dim=1)


def run_of(network: nn.Module) -> Run:
    """Return the network as a function of arrays for use during training. It runs in batches of rows."""
    device = next(network.parameters()).device

    def run(tensors: dict[str, npt.NDArray[Any]]) -> Any:
        parts = [torch.as_tensor(tensor).split(_ROWS_AT_ONCE) for tensor in tensors.values()]
        network.eval()
        with torch.inference_mode():
            outputs = [network(*(part.to(device) for part in inputs)).cpu() for inputs in zip(*parts, strict=True)]
        return torch.cat(outputs).numpy()

    return run


def as_onnx(network: nn.Module, example: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Return a network on the CPU as ONNX with a dynamic number of rows.

    Parameters
    ----------
    example
        Input tensors by name, in the order of the network's inputs; at least one row.
    """
    body = io.BytesIO()
    network.eval()
    with warnings.catch_warnings():
        # The exporter that replaces this one needs another package, and takes seconds instead of 0.1 s.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            tuple(torch.as_tensor(tensor[:2]) for tensor in example.values()),
            body,
            dynamo=False,
            opset_version=_OPSET,
            input_names=list(example),
            output_names=["output"],
            dynamic_axes={name: {0: "rows"} for name in (*example, "output")},
        )
    return body.getvalue()


def write_weights(network: nn.Module, output: Path) -> str:
    """Write the weights. Return the name of the file."""
    output.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, output / WEIGHTS_FILE)
    return WEIGHTS_FILE
