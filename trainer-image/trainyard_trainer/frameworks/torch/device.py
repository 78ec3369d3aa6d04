"""The device of the training: a GPU if there is one, or the CPU if the GPU fails and the specification allows it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import torch

from trainyard_api.training import Accelerator
from trainyard_trainer.errors import Unsupported
from trainyard_trainer.frameworks.torch.parameters import Device

_LOGGER: Final = logging.getLogger(__name__)
_GPU_WORDS: Final = ("cuda", "cudnn", "cublas", "nvrtc", "nvidia", "hip error", "mps backend", "out of memory")

T = TypeVar("T")


@dataclass(frozen=True)
class OnDevice(Generic[T]):
    """The result of the work, the device, and warnings about it."""

    made: T
    device: str
    warnings: tuple[str, ...] = ()


def on_device(
    requested: Device,
    accelerator: Accelerator | None,
    work: Callable[[torch.device], T],
    *,
    gpus: tuple[str, ...] | None = None,
) -> OnDevice[T]:
    """Do the work on the requested or available device.

    If a GPU is missing or fails (driver or memory), the CPU is used if no accelerator was requested or
    ``accelerator.fallback`` is CPU. Then the work starts again.

    Parameters
    ----------
    gpus
        The available GPUs. By default, those that Torch finds.

    Raises
    ------
    Unsupported
        If the specification requires a GPU that is missing or fails.
    """
    available = _gpus() if gpus is None else gpus
    wanted = requested in {"cuda", "mps"} or (requested == "Auto" and accelerator is not None)
    if requested == "cpu" or (not wanted and not available):
        return OnDevice(work(torch.device("cpu")), "cpu")
    name = next((one for one in available if requested in {"Auto", one}), None)
    if name is None:
        kind = "GPU" if requested == "Auto" else requested
        reason = f"this machine has no {kind} device (Torch finds {', '.join(available) or 'none'})"
        return _on_cpu(reason, accelerator, work)
    try:
        return OnDevice(work(torch.device(name)), name)
    except RuntimeError as error:
        if not _is_gpus(error):
            raise
        reason = f"the {name} device failed: {str(error).splitlines()[0][:200]}"
    # Outside of the except clause, because the traceback of the error keeps the tensors on the GPU alive.
    if name == "cuda" and torch.cuda.is_available():
        torch.cuda.empty_cache()
    return _on_cpu(reason, accelerator, work)


def _on_cpu(reason: str, accelerator: Accelerator | None, work: Callable[[torch.device], T]) -> OnDevice[T]:
    if accelerator is not None and accelerator.fallback != "CPU":
        raise Unsupported(f"{reason}, and spec.accelerator.fallback is None; set it to CPU, or repair the node")
    _LOGGER.warning("%s: training on the CPU instead", reason)
    return OnDevice(work(torch.device("cpu")), "cpu", (f"{reason}; trained on the CPU instead",))


def _gpus() -> tuple[str, ...]:
    found = []
    if torch.cuda.is_available():
        found.append("cuda")
    if torch.backends.mps.is_available():
        found.append("mps")
    return tuple(found)


def _is_gpus(error: RuntimeError) -> bool:
    """Return whether an error is from the device. Torch has one class for almost all errors."""
    kinds = tuple(
        kind for kind in (torch.OutOfMemoryError, getattr(torch, "AcceleratorError", None)) if kind is not None
    )
    return isinstance(error, kinds) or any(word in str(error).lower() for word in _GPU_WORDS)
