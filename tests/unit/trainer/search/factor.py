"""A framework for searches: it predicts the mean times a factor. The best factor is 2.5, and the default is 1."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tests.unit.trainer.job.mean import MeanFramework
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.errors import ConfigError
from trainyard_trainer.frameworks.base import Context, Trained

REFUSED = 3.9


def nothing(_: int) -> None:
    """Do nothing, so that the trial continues."""


@dataclass
class Factor:
    """The searchable model, evaluated on the validation row."""

    dataset: Dataset
    context: Context
    tried: list[dict[str, Any]]
    during_trial: Callable[[int], None]

    def space(self) -> Mapping[str, Any]:
        return {
            "factor": {"type": "Float", "low": 0.5, "high": 4, "default": 1},
            "shift": {"choices": [0, 1000], "default": 0},
        }

    def score(self, parameters: Mapping[str, Any], report: Callable[[int, float], None]) -> float:
        self.tried.append(dict(parameters))
        self.during_trial(len(self.tried))
        if parameters.get("factor", 1) > REFUSED:
            raise ConfigError(f"a factor above {REFUSED} is refused")
        loss = abs(parameters.get("factor", 1) - 2.5) + float(parameters.get("shift", 0))
        for step in range(3):
            self.context.progress(step / 3, "looking")
            report(step, loss)
        return float(loss)


@dataclass
class FactorFramework(MeanFramework):
    """``tried`` holds all parameters of each trial, ``final`` those of the training."""

    tried: list[dict[str, Any]] = field(default_factory=list)
    final: dict[str, Any] = field(default_factory=dict)
    during_trial: Callable[[int], None] = nothing

    def tunable(self, dataset: Dataset, context: Context) -> Factor | None:
        return Factor(dataset, context, self.tried, self.during_trial)

    def train(self, dataset: Dataset, context: Context) -> Trained:
        self.final = dict(context.parameters)
        trained = super().train(dataset, context)
        context.progress(np.float64(1.0), "all of it")
        return replace(trained, parameters={**trained.parameters, **self.final})
