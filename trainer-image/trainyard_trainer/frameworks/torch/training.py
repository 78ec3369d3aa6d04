"""The training loop: epochs with early stopping and checkpoints. A resumed training ends with the same weights.

All random choices of an epoch (order of the rows, dropout) depend on the seed and the number of the epoch. So a
checkpoint needs no state of a generator. A resumed training ends with the same weights as one without interruption.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from trainyard_api.training import Split
from trainyard_trainer.artifacts.checkpoints import Checkpoints, NoCheckpoints
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.errors import ConfigError, Interrupted
from trainyard_trainer.frameworks.base import Context
from trainyard_trainer.frameworks.torch.parameters import ForecastParameters, TabularParameters

CHECKPOINT: Final = "torch/epoch"
FINAL_CHECKPOINT: Final = "torch/final"

_CHECKPOINT_SECONDS: Final = 10.0
_LONGEST_GRADIENT: Final = 1.0
_EPOCH_SEED: Final = 1_000_003

_STEPS_PER_EPOCH: Final = 16
_SMALLEST_BATCH: Final = 16

_WORK_PER_THREAD: Final = 50_000_000
"""Multiplications per step for each thread. On a busy node, two threads took 24 ms where one took 1 ms."""

State = dict[str, Tensor]


class Lesson(Protocol):
    """A network with its training data and loss."""

    network: nn.Module
    examples: int

    def loss(self, examples: Tensor) -> Tensor:
        """Return the mean loss of some examples, by their numbers."""
        ...

    def judge(self) -> float:
        """Return the loss on the validation part; smaller is better."""
        ...


@dataclass(frozen=True)
class Plan:
    """How to train. ``identity`` identifies the data, the specification and the parameters of a checkpoint."""

    learning_rate: float
    weight_decay: float
    batch_size: int
    epochs: int
    patience: int
    seed: int
    identity: str = ""
    checkpoint: str = CHECKPOINT
    early_stopping: bool = True
    """Whether to stop early and keep the weights of the best epoch.

    Otherwise all epochs run and the last weights are kept.
    """


@dataclass(frozen=True)
class Watch:
    """Callbacks of a training.

    ``seen(epoch, of, loss)`` is called after each epoch. It can raise an error to end the training.
    """

    stop: Callable[[], bool] = lambda: False
    seen: Callable[[int, int, float], None] = lambda *_: None
    checkpoints: Checkpoints = field(default_factory=NoCheckpoints)
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True)
class Course:
    """The course of a training: ``epochs`` were run, and the weights of epoch ``best`` (from 1) were kept."""

    epochs: int
    best: int
    loss: float
    used_up: bool
    """Whether the maximum number of epochs was reached before early stopping."""

    @property
    def numbers(self) -> dict[str, int]:
        """The numbers that the version records."""
        return {"trained_epochs": self.epochs, "best_epoch": self.best}

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings for people."""
        if not self.used_up:
            return ()
        unfinished = (
            f"training used all {self.epochs} epochs without stopping early; "
            "a higher spec.parameters.epochs or learning_rate may give a better model"
        )
        return (unfinished,)


@dataclass
class _Notes:
    """The state of the training between two epochs."""

    epoch: int = 0
    best: int = 0
    loss: float = math.inf


def watch_of(context: Context, begin: float, end: float, what: str) -> Watch:
    """Return the callbacks for one of the two trainings of a job, with its part of the progress."""

    def seen(epoch: int, of: int, loss: float) -> None:
        context.progress(begin + (end - begin) * epoch / of, f"{what}: epoch {epoch}", {"validation_loss": loss})

    return Watch(context.stop, seen, context.checkpoints)


def batch_of(requested: int, examples: int) -> int:
    """Return the batch size. It is small enough that a small table has several steps per epoch."""
    return min(requested, max(_SMALLEST_BATCH, examples // _STEPS_PER_EPOCH))


def learn(
    lesson: Lesson,
    dataset: Dataset,
    context: Context,
    parameters: TabularParameters | ForecastParameters,
    watch: Watch,
    device: torch.device,
    epochs: int | None = None,
) -> Course:
    """Train a network on a dataset with the given parameters. See :func:`fit`.

    ``epochs`` is the number for a final training: the best epoch of the judged one, because it has no rows for early
    stopping.
    """
    seed = (context.config.spec.split or Split()).seed
    decides = (dataset.origin.digest, dataset.holdout_digest, parameters.model_dump(mode="json"), seed, device.type)
    plan = Plan(
        learning_rate=parameters.learning_rate,
        weight_decay=parameters.weight_decay,
        batch_size=batch_of(parameters.batch_size, lesson.examples),
        epochs=parameters.epochs if epochs is None else epochs,
        patience=parameters.patience,
        checkpoint=CHECKPOINT if epochs is None else FINAL_CHECKPOINT,
        early_stopping=epochs is None,
        seed=seed,
        identity=hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest(),
    )
    _use_threads(context.workers, lesson.network, plan)
    return fit(lesson, plan, watch, device)


def _use_threads(workers: int, network: nn.Module, plan: Plan) -> None:
    """Set the number of Torch threads to what one step of the training can use, at most the number of workers."""
    work = plan.batch_size * sum(parameter.numel() for parameter in network.parameters())
    torch.set_num_threads(max(1, min(workers, work // _WORK_PER_THREAD)))


def fit(lesson: Lesson, plan: Plan, watch: Watch, device: torch.device) -> Course:
    """Train until the validation loss stops to decrease. The network then has the best weights.

    Raises
    ------
    Interrupted
        When the pod must stop; the last complete epoch is kept as a checkpoint.
    ConfigError
        If the loss is no longer finite.
    """
    network = lesson.network
    optimizer = torch.optim.AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay)
    notes, best = _resume(network, optimizer, plan, watch.checkpoints)
    began = kept_at = watch.clock()
    while notes.epoch < plan.epochs and notes.epoch - notes.best < plan.patience:
        before = _state(network, optimizer, best)
        if not _epoch(lesson, optimizer, plan, notes.epoch, watch.stop, device):
            _keep(watch.checkpoints, before, notes, plan)
            raise Interrupted(f"stopped in epoch {notes.epoch + 1}; the next attempt continues with this epoch")
        network.eval()
        with torch.inference_mode():
            loss = lesson.judge()
        if not math.isfinite(loss):
            raise ConfigError(
                f"spec.parameters: the loss is not finite in epoch {notes.epoch + 1}; use a lower learning_rate "
                f"than {plan.learning_rate:g}"
            )
        notes.epoch += 1
        if loss < notes.loss or not plan.early_stopping:
            notes.best, notes.loss = notes.epoch, loss
            best = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        if watch.clock() - kept_at >= _CHECKPOINT_SECONDS:
            _keep(watch.checkpoints, _state(network, optimizer, best), notes, plan)
            kept_at = watch.clock()
        watch.seen(notes.epoch, plan.epochs, loss)
    if watch.clock() - began >= _CHECKPOINT_SECONDS:
        _keep(watch.checkpoints, _state(network, optimizer, best), notes, plan)  # another training follows
    network.load_state_dict(best)
    network.eval()
    return Course(notes.epoch, notes.best, notes.loss, used_up=notes.epoch - notes.best < plan.patience)


def _epoch(
    lesson: Lesson,
    optimizer: torch.optim.Optimizer,
    plan: Plan,
    epoch: int,
    stop: Callable[[], bool],
    device: torch.device,
) -> bool:
    """Process every example once. Return whether the epoch was completed."""
    torch.manual_seed(plan.seed * _EPOCH_SEED + epoch)
    lesson.network.train()
    # Drawn on the CPU, so that the order is the same on every device.
    order = torch.randperm(lesson.examples)
    for examples in order.to(device).split(plan.batch_size):
        if stop():
            return False
        optimizer.zero_grad(set_to_none=True)
        lesson.loss(examples).backward()
        nn.utils.clip_grad_norm_(lesson.network.parameters(), _LONGEST_GRADIENT)
        optimizer.step()
    return True


def _state(network: nn.Module, optimizer: torch.optim.Optimizer, best: State) -> State:
    """Return copies of all tensors of a checkpoint."""
    found = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    for number, values in optimizer.state_dict()["state"].items():
        found |= {f"optimizer.{number}.{name}": tensor for name, tensor in values.items()}
    return {name: tensor.detach().clone() for name, tensor in found.items()} | {
        f"best.{name}": tensor for name, tensor in best.items()
    }


def _keep(checkpoints: Checkpoints, state: State, notes: _Notes, plan: Plan) -> None:
    header = {"identity": plan.identity, "epoch": notes.epoch, "best": notes.best, "loss": notes.loss.hex()}
    tensors = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
    checkpoints.put(plan.checkpoint, save_tensors(tensors, metadata={"notes": json.dumps(header)}))


def _resume(
    network: nn.Module, optimizer: torch.optim.Optimizer, plan: Plan, checkpoints: Checkpoints
) -> tuple[_Notes, State]:
    """Load the state of an earlier attempt, or return the initial state."""
    body = checkpoints.get(plan.checkpoint)
    header = _header_of(body) if body is not None else {}
    if body is None or header.get("identity") != plan.identity:
        return _Notes(), {}
    tensors = load_tensors(body)
    network.load_state_dict(_under("network", tensors.items()))
    state: dict[int, State] = {}
    for name, tensor in _under("optimizer", tensors.items()).items():
        number, key = name.split(".")
        state.setdefault(int(number), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    device = next(network.parameters()).device
    best = {name: tensor.to(device) for name, tensor in _under("best", tensors.items()).items()}
    return _Notes(header["epoch"], header["best"], float.fromhex(header["loss"])), best


def _header_of(body: bytes) -> Mapping[str, Any]:
    """Return the header of a checkpoint.

    The format is a length of 8 bytes, a JSON header of that length, then the tensors.
    """
    size = int.from_bytes(body[:8], "little")
    header = json.loads(body[8 : 8 + size])
    found: Mapping[str, Any] = json.loads(header.get("__metadata__", {}).get("notes", "{}"))
    return found


def _under(prefix: str, tensors: Iterable[tuple[str, Tensor]]) -> State:
    return {name.partition(".")[2]: tensor for name, tensor in tensors if name.partition(".")[0] == prefix}
