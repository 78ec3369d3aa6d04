"""The format of ``spec.search.space`` and of the spaces of frameworks. This module is fast to import, without Optuna.

``{num_leaves: {type: Int, low: 7, high: 255, log: true}, boosting: {choices: [gbdt, dart]}}``
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, ValidationError, model_validator

from trainyard_trainer.errors import ConfigError
from trainyard_trainer.messages import messages_of

if TYPE_CHECKING:
    import optuna

FIELD: Final = "spec.search.space"

Scalar: TypeAlias = StrictBool | StrictInt | StrictFloat | str | None


class _Definition(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class IntRange(_Definition):
    """A range of integers, both ends included. ``default`` is the default of the framework."""

    type: Literal["Int"]
    low: StrictInt
    high: StrictInt
    log: bool = False
    step: Annotated[StrictInt, Field(ge=1)] | None = None
    default: StrictInt | None = None

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        _check_range(self, least=1)
        return self

    def holds(self, value: object) -> bool:
        """Return whether a value is in the range. Optuna would also accept other values, and learn from them."""
        if isinstance(value, bool) or not isinstance(value, int):
            return False
        return self.low <= value <= self.high and (value - self.low) % (self.step or 1) == 0

    def suggest(self, trial: "optuna.Trial", name: str) -> int:
        """Return a value that a trial suggests."""
        return trial.suggest_int(name, self.low, self.high, step=self.step or 1, log=self.log)

    def distribution(self) -> "optuna.distributions.BaseDistribution":
        """Return the range as a distribution of Optuna."""
        import optuna

        return optuna.distributions.IntDistribution(self.low, self.high, log=self.log, step=self.step or 1)

    def stored(self, value: Any) -> Any:
        """Return a value in Optuna's form."""
        return int(value)


class FloatRange(_Definition):
    """A range of numbers, both ends included. With ``step``, only multiples of it above ``low`` are valid."""

    type: Literal["Float"]
    low: float
    high: float
    log: bool = False
    step: Annotated[float, Field(gt=0)] | None = None
    default: float | None = None

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        _check_range(self, least=0)
        return self

    def holds(self, value: object) -> bool:
        """Return whether a value is in the range."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if not self.low <= value <= self.high:
            return False
        return self.step is None or abs((value - self.low) / self.step - round((value - self.low) / self.step)) < 1e-8

    def suggest(self, trial: "optuna.Trial", name: str) -> float:
        """Return a value that a trial suggests."""
        return trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)

    def distribution(self) -> "optuna.distributions.BaseDistribution":
        """Return the range as a distribution of Optuna."""
        import optuna

        return optuna.distributions.FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def stored(self, value: Any) -> Any:
        """Return a value in Optuna's form."""
        return float(value)


class Choices(_Definition):
    """A few values of any kind: text, numbers, booleans, null, or lists of these."""

    choices: Annotated[list[Scalar | list[Scalar]], Field(min_length=1)]
    default: Scalar | list[Scalar] = None

    @model_validator(mode="after")
    def _differ(self) -> Self:
        texts = [json.dumps(choice) for choice in self.choices]
        twice = [text for text in texts if texts.count(text) > 1]
        if twice:
            raise ValueError(f"choices contains {twice[0]} twice; keep one")
        if "default" in self.model_fields_set and not self.holds(self.default):
            raise ValueError(f"default {json.dumps(self.default)} is not one of the choices; add it, or leave it out")
        return self

    def holds(self, value: object) -> bool:
        """Return whether a value is one of the choices. 1, 1.0 and true are different."""
        return self.stored(value) in [json.dumps(choice) for choice in self.choices]

    def suggest(self, trial: "optuna.Trial", name: str) -> Any:
        """Return a value that a trial suggests."""
        return json.loads(trial.suggest_categorical(name, [json.dumps(choice) for choice in self.choices]))

    def distribution(self) -> "optuna.distributions.BaseDistribution":
        """Return the choices as a distribution of Optuna."""
        import optuna

        return optuna.distributions.CategoricalDistribution([json.dumps(choice) for choice in self.choices])

    def stored(self, value: Any) -> Any:
        """Return a value in Optuna's form, which is JSON, because Optuna does not support lists and confuses 1 with
        true.
        """
        try:
            return json.dumps(value)
        except (TypeError, ValueError):
            return repr(value)


Dimension: TypeAlias = IntRange | FloatRange | Choices
Space: TypeAlias = Mapping[str, Dimension]

_KINDS: Final[dict[str, type[IntRange | FloatRange]]] = {"Int": IntRange, "Float": FloatRange}


def parse(space: Mapping[str, Any], field: str = FIELD) -> dict[str, Dimension]:
    """Return a validated space, sorted by name. So the order in a YAML file has no effect on the trials.

    Parameters
    ----------
    field
        The name of the space in messages.

    Raises
    ------
    ConfigError
        If the space is invalid. There is one message per error, with the parameter and the field.
    """
    if not space:
        raise ConfigError(f"{field} is empty; add a parameter, or leave it out to use the space of the framework")
    found: dict[str, Dimension] = {}
    mistakes: list[str] = []
    for name in sorted(space, key=str):
        try:
            found[str(name)] = _dimension(space[name])
        except ValidationError as error:
            mistakes += _one_per_location(error, f"{field}.{name}")
        except ValueError as error:
            mistakes.append(f"{field}.{name}: {error}")
    if mistakes:
        raise ConfigError("; ".join(mistakes))
    return found


def suggest(trial: "optuna.Trial", space: Space) -> dict[str, Any]:
    """Return one parameter set that a trial suggests, by the names of the space."""
    return {name: dimension.suggest(trial, name) for name, dimension in space.items()}


def inside(parameters: Mapping[str, Any], space: Space) -> dict[str, Any]:
    """Return the parameters that are in the space and whose values are valid there."""
    return {name: parameters[name] for name, dimension in space.items() if _has(parameters, name, dimension)}


def defaults_of(space: Space) -> dict[str, Any]:
    """Return the values marked as ``default``."""
    return {name: dimension.default for name, dimension in space.items() if "default" in dimension.model_fields_set}


def _has(parameters: Mapping[str, Any], name: str, dimension: Dimension) -> bool:
    return name in parameters and dimension.holds(parameters[name])


def _dimension(fields: object) -> Dimension:
    """Return the model of a dimension, selected by its fields. The errors of a union would mention all three models."""
    if not isinstance(fields, Mapping):
        raise ValueError(  # noqa: TRY004 - an error of the user, reported like the others
            f"must not be {json.dumps(fields, default=str)}; write {{type: Int, low: 1, high: 9}} or {{choices: [..]}}"
        )
    if "choices" in fields:
        return Choices.model_validate(fields)
    kind = _KINDS.get(str(fields.get("type")))
    if kind is None:
        problem = f"type is {json.dumps(fields['type'], default=str)}" if "type" in fields else "type is missing"
        raise ValueError(f"{problem}; write Int or Float with low and high, or choices")
    return kind.model_validate(fields)


def _one_per_location(error: ValidationError, field: str) -> list[str]:
    """Return one message per location, because an invalid value fails in each member of a union."""
    messages: dict[str, str] = {}
    for item, message in zip(error.errors(), messages_of(error, field), strict=True):
        location = ".".join(str(part) for part in item["loc"][:1])
        is_value = location in {"choices", "default"} and len(item["loc"]) > 1
        wanted = f"{field}.{location}: values must be text, numbers, true, false, null or lists of these"
        messages.setdefault(location, wanted if is_value else message)
    return list(messages.values())


def _check_range(fields: "IntRange | FloatRange", least: float) -> None:
    """Raise ValueError for an invalid range.

    ``least`` is the smallest ``low`` for a logarithmic scale. 0 means any positive number.
    """
    if fields.low > fields.high:
        raise ValueError(f"low {fields.low} is above high {fields.high}; swap them")
    if fields.log and (fields.low < least or fields.low <= 0):
        bound = "of at least 1" if least else "above 0"
        raise ValueError(f"log needs a low {bound}, but it is {fields.low}; raise low, or leave log out")
    if fields.log and fields.step is not None:
        raise ValueError("log and step exclude each other; leave one out")
    if fields.step is not None and not fields.holds(fields.high):
        raise ValueError(
            f"high {fields.high} is not a whole number of steps {fields.step} above low {fields.low}; correct it"
        )
    if fields.default is not None and not fields.holds(fields.default):
        raise ValueError(f"default {fields.default} is not between low and high, or not at a step; correct it")
