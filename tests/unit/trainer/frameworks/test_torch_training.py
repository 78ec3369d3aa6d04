"""The training loop: the same weights after any interruption, early stopping, and the selection of the device."""

import math

import pytest
import torch
from torch import nn

from trainyard_api.training import Accelerator
from trainyard_trainer.errors import ConfigError, Interrupted, Unsupported
from trainyard_trainer.frameworks.torch.device import on_device
from trainyard_trainer.frameworks.torch.training import CHECKPOINT, Plan, Watch, batch_of, fit

CPU = torch.device("cpu")
PLAN = Plan(learning_rate=0.01, weight_decay=1e-3, batch_size=16, epochs=6, patience=6, seed=3, identity="this one")


class LinearLesson:
    """A network with dropout that learns y = 2x on a few points."""

    def __init__(self):
        torch.manual_seed(1)
        self.network = nn.Sequential(nn.Linear(1, 8), nn.Dropout(0.2), nn.Linear(8, 1))
        self.examples = 100
        self.x = torch.linspace(-1, 1, self.examples)[:, None]
        self.steps = 0

    def loss(self, examples):
        self.steps += 1
        return nn.functional.mse_loss(self.network(self.x[examples]), 2 * self.x[examples])

    def judge(self):
        return float(nn.functional.mse_loss(self.network(self.x), 2 * self.x))

    @property
    def weights(self):
        return torch.cat([parameter.detach().flatten() for parameter in self.network.parameters()])


class MemoryCheckpoints(dict):
    """Checkpoints in memory."""

    def put(self, name, body):
        self[name] = body

    def names(self):
        return sorted(self)


def uninterrupted():
    lesson = LinearLesson()
    return fit(lesson, PLAN, Watch(), CPU), lesson.weights


@pytest.mark.parametrize("stopped_at", [0, 1, 7, 8, 20, 34])
def test_an_attempt_after_a_stop_ends_with_the_same_weights(stopped_at):
    course, weights = uninterrupted()
    checkpoints, lesson = MemoryCheckpoints(), LinearLesson()
    with pytest.raises(Interrupted, match=r"stopped in epoch \d+; the next attempt"):
        fit(lesson, PLAN, Watch(stop=lambda: lesson.steps >= stopped_at, checkpoints=checkpoints), CPU)
    assert checkpoints.names() == [CHECKPOINT]
    next_attempt = LinearLesson()
    found = fit(next_attempt, PLAN, Watch(checkpoints=checkpoints), CPU)
    assert found == course
    assert torch.equal(next_attempt.weights, weights)
    per_epoch = math.ceil(lesson.examples / PLAN.batch_size)
    assert next_attempt.steps == per_epoch * (PLAN.epochs - stopped_at // per_epoch), "whole epochs are not repeated"


def test_an_attempt_after_a_kill_continues_from_the_last_checkpoint():
    course, weights = uninterrupted()
    checkpoints, seconds = MemoryCheckpoints(), iter(range(0, 1000, 6))

    def die(epoch, *_):
        if epoch == 5:
            raise MemoryError

    with pytest.raises(MemoryError):
        fit(LinearLesson(), PLAN, Watch(seen=die, checkpoints=checkpoints, clock=lambda: float(next(seconds))), CPU)
    next_attempt = LinearLesson()
    assert fit(next_attempt, PLAN, Watch(checkpoints=checkpoints), CPU) == course
    assert torch.equal(next_attempt.weights, weights)
    assert 0 < next_attempt.steps < 7 * PLAN.epochs


def test_checkpoints_are_bounded_in_time():
    put = []

    class Counting(MemoryCheckpoints):
        def put(self, name, body):
            put.append((name, body))

    fit(LinearLesson(), PLAN, Watch(checkpoints=Counting(), clock=lambda: 0.0), CPU)
    assert put == [], "no ten seconds have passed"


def test_a_checkpoint_of_another_training_is_not_used():
    checkpoints, lesson = MemoryCheckpoints(), LinearLesson()
    with pytest.raises(Interrupted):
        fit(lesson, PLAN, Watch(stop=lambda: lesson.steps >= 20, checkpoints=checkpoints), CPU)
    other = Plan(**{**PLAN.__dict__, "identity": "another"})
    fresh = LinearLesson()
    fit(fresh, other, Watch(checkpoints=checkpoints), CPU)
    assert fresh.steps == 7 * PLAN.epochs


def test_the_best_epoch_is_kept_and_patience_ends_the_training():
    losses = iter([0.5, 0.3, 0.4, 0.6, 0.7, 0.1])

    class Reporter(LinearLesson):
        def judge(self):
            self.seen = [*getattr(self, "seen", []), self.weights]
            return next(losses)

    lesson = Reporter()
    course = fit(lesson, Plan(**{**PLAN.__dict__, "patience": 3}), Watch(), CPU)
    assert (course.epochs, course.best, course.loss, course.warnings) == (5, 2, 0.3, ())
    assert torch.equal(lesson.weights, lesson.seen[1])


def test_a_loss_that_is_not_finite_names_the_learning_rate():
    class Broken(LinearLesson):
        def judge(self):
            return math.nan

    with pytest.raises(ConfigError, match=r"epoch 1;.* lower learning_rate than 0\.01"):
        fit(Broken(), PLAN, Watch(), CPU)


@pytest.mark.parametrize(("examples", "expected"), [(10, 16), (1600, 100), (100_000, 256)])
def test_a_small_table_has_several_steps_in_an_epoch(examples, expected):
    assert batch_of(256, examples) == expected


ASKED, WITH_FALLBACK = Accelerator(), Accelerator(fallback="CPU")


def works(device):
    return device.type


def fails(device):
    if device.type == "cuda":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")
    return device.type


@pytest.mark.parametrize(
    ("requested", "accelerator", "gpus", "device"),
    [
        ("Auto", None, (), "cpu"),
        ("Auto", None, ("cuda",), "cuda"),
        ("Auto", None, ("cuda", "mps"), "cuda"),
        ("Auto", None, ("mps",), "mps"),
        ("cpu", ASKED, ("cuda",), "cpu"),
        ("mps", None, ("cuda", "mps"), "mps"),
        ("cuda", ASKED, ("cuda",), "cuda"),
    ],
)
def test_the_device_is_selected(requested, accelerator, gpus, device):
    found = on_device(requested, accelerator, works, gpus=gpus)
    assert (found.made, found.device, found.warnings) == (device, device, ())


@pytest.mark.parametrize(
    ("requested", "accelerator", "gpus", "work", "words"),
    [
        ("Auto", WITH_FALLBACK, (), works, "no GPU device (Torch finds none)"),
        ("cuda", None, (), works, "no cuda device (Torch finds none)"),
        ("cuda", WITH_FALLBACK, ("mps",), works, "no cuda device (Torch finds mps)"),
        ("Auto", None, ("cuda",), fails, "the cuda device failed: CUDA out of memory. Tried to allocate 2 GiB;"),
        ("Auto", WITH_FALLBACK, ("cuda",), fails, "out of memory"),
    ],
)
def test_the_cpu_replaces_a_gpu_that_is_missing_or_fails(requested, accelerator, gpus, work, words):
    found = on_device(requested, accelerator, work, gpus=gpus)
    assert (found.made, found.device) == ("cpu", "cpu")
    (warning,) = found.warnings
    assert words in warning
    assert warning.endswith("trained on the CPU instead")


@pytest.mark.parametrize(("gpus", "work"), [((), works), (("cuda",), fails)])
def test_a_required_gpu_that_is_missing_or_fails_is_an_error(gpus, work):
    with pytest.raises(Unsupported, match=r"spec.accelerator.fallback is None; set it to CPU"):
        on_device("Auto", ASKED, work, gpus=gpus)


def test_an_internal_error_is_not_a_failure_of_the_gpu():
    def wrong(_):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        on_device("Auto", None, wrong, gpus=("cuda",))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
def test_a_real_gpu_learns():
    lesson = LinearLesson()
    device = torch.device("cuda")
    lesson.network, lesson.x = lesson.network.to(device), lesson.x.to(device)
    assert fit(lesson, PLAN, Watch(), device).best == PLAN.epochs
