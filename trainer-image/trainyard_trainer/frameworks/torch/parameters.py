"""Parameters of Torch models: names, defaults and bounds, checked before any data is read.

This module is fast to import.
"""

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, ValidationError

from trainyard_api.training import Task
from trainyard_trainer.errors import ConfigError
from trainyard_trainer.messages import messages_of

Device = Literal["Auto", "cuda", "mps", "cpu"]
Loss = Literal["mse", "mae", "huber"]
Widths = Annotated[
    tuple[Annotated[StrictInt, Field(ge=1, le=4096)], ...],
    Field(max_length=8),
    BeforeValidator(lambda value: (value,) if isinstance(value, int) else value),
]
"""Number of neurons of each hidden layer. A single number is one layer."""

_ELSEWHERE: Final = {
    "seed": "spec.split.seed",
    "horizon": "spec.forecast.horizon",
    "num_workers": "spec.workers",
    "quantiles": "spec.forecast.quantiles",
}
"""Names that users may expect here, with the setting that decides them."""


class _Parameters(BaseModel):
    """Common parameters of both kinds of networks."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    hidden: Widths = (128, 64)
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 1e-4
    batch_size: Annotated[StrictInt, Field(ge=1, le=65_536)] = 256
    epochs: Annotated[StrictInt, Field(ge=1, le=10_000)] = 200
    """An upper bound. Early stopping usually ends the training much earlier."""
    patience: Annotated[StrictInt, Field(ge=1, le=1000)] = 20
    """Number of epochs without a better validation loss until training stops."""
    device: Device = "Auto"


class TabularParameters(_Parameters):
    """Parameters of the network for tables. ``loss`` applies to Regression. For classes, the log loss is used."""

    loss: Loss = "mse"


class ForecastParameters(_Parameters):
    """Parameters of the network for forecasts. ``input_size`` is the number of input steps of a forecast."""

    hidden: Widths = (128,)
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 3e-4
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 1e-3
    epochs: Annotated[StrictInt, Field(ge=1, le=10_000)] = 100
    patience: Annotated[StrictInt, Field(ge=1, le=1000)] = 10
    loss: Loss = "mse"
    input_size: Annotated[StrictInt, Field(ge=1, le=10_000)] | Literal["Auto"] = "Auto"

    def of_length(self, steps: int) -> Self:
        """Return a copy with the number of input steps."""
        return self.model_copy(update={"input_size": steps})


_P = TypeVar("_P", bound=_Parameters)


def tabular(given: Mapping[str, Any]) -> TabularParameters:
    """Return the user's parameters with defaults. Raises ConfigError with a message per error."""
    return _read(TabularParameters, given)


def forecast(given: Mapping[str, Any]) -> ForecastParameters:
    """Return the user's parameters with defaults. Raises ConfigError with a message per error."""
    return _read(ForecastParameters, given)


def check_names(given: Mapping[str, Any], task: Task, field: str) -> None:
    """Check for unknown names. Raises ConfigError, which suggests the nearest known name."""
    known = (ForecastParameters if task == "Forecast" else TabularParameters).model_fields
    for name in given:
        if name in known:
            continue
        if name in _ELSEWHERE:
            raise ConfigError(f"{field}.{name} is decided by {_ELSEWHERE[name]}; leave it out")
        near = difflib.get_close_matches(name, known, n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
        raise ConfigError(f"{field}.{name} is not a parameter of Torch with task {task}; {hint}")


def space(task: Task) -> dict[str, Any]:
    """Return the default search space, in the format of ``search/space.py``."""
    default = ForecastParameters() if task == "Forecast" else TabularParameters()
    widths = [[64], [128], [256], [128, 64], [256, 128]]
    return {
        "hidden": {"choices": widths, "default": list(default.hidden)},
        "dropout": {"type": "Float", "low": 0.0, "high": 0.5, "default": default.dropout},
        "learning_rate": {"type": "Float", "low": 1e-4, "high": 1e-2, "log": True, "default": default.learning_rate},
        "weight_decay": {"type": "Float", "low": 1e-6, "high": 1e-1, "log": True, "default": default.weight_decay},
    }


def _read(model: type[_P], given: Mapping[str, Any]) -> _P:
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        raise ConfigError("; ".join(messages_of(error, "spec.parameters"))) from error
