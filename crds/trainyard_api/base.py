"""The base of every API model: camelCase in JSON, frozen values, and rules that are evaluated in two ways.

A :class:`Rule` contains one constraint twice: as CEL for the API server and as a Python predicate for pydantic. Tests
evaluate both with the same valid and invalid objects, so that a local run and a cluster give the same result.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel


@dataclass(frozen=True)
class Rule:
    """A constraint on one object that the types and bounds of a schema cannot express.

    Attributes
    ----------
    cel
        The expression that the API server evaluates on ``self``.
    message
        The error message for the user: what is wrong and what to do.
    holds
        The same constraint for pydantic, called with the parsed model. ``None`` if only the API server can evaluate it:
        transition rules (they use ``oldSelf``) and rules about metadata.
    field
        The field below ``self`` that the API server names in its response. Default: the object itself.
    message_cel
        An expression for a message that depends on the error. ``message`` is used if it cannot be evaluated.
    """

    cel: str
    message: str
    holds: Callable[[Any], bool] | None = None
    field: str | None = None
    message_cel: str | None = None

    def validation(self) -> dict[str, str]:
        """Return the entry of ``x-kubernetes-validations``."""
        entry = {"rule": self.cel, "message": self.message}
        if self.message_cel is not None:
            entry["messageExpression"] = self.message_cel
        return entry if self.field is None else {**entry, "fieldPath": f".{self.field}"}


def _carry_rules(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Add the rules of a model to its JSON schema. The CustomResourceDefinition is generated from this schema."""
    if issubclass(model, ApiModel) and model.rules:
        schema["x-kubernetes-validations"] = [rule.validation() for rule in model.rules]


def _as_json(value: Any) -> Any:
    """Return a Python value as JSON has it: a tuple becomes a list, and 28.0 becomes the integer 28, as kubectl sends
    it."""
    match value:
        case tuple():
            return list(value)
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


class ApiModel(BaseModel):
    """Base of all models in a custom resource. Unknown fields are errors, unless parsed with ``extra="ignore"``.

    Types are strict and NaN is refused, because the API server also refuses ``"5"`` for a number.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        json_schema_extra=_carry_rules,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _as_the_api_server_reads(cls, values: Any) -> Any:
        """Remove nulls, as the API server does: ``null`` means absent."""
        if not isinstance(values, dict):
            return values
        return {key: _as_json(value) for key, value in values.items() if value is not None}

    @model_validator(mode="after")
    def _apply_rules(self) -> Self:
        for rule in type(self).rules:
            if rule.holds is not None and not rule.holds(self):
                raise ValueError(rule.message)
        return self

    def wire(self) -> dict[str, Any]:
        """Return the object as the API server stores it: camelCase, JSON values, no nulls."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def first_problem(error: ValidationError, *path: str, whole: str = "") -> str:
    """Return the first validation error of a value as one line: ``spec.data.target: Field required``.

    ``path`` is the path of the value itself. ``whole`` is its name if no field of it is the cause.
    """
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join([*path, *(str(part) for part in first["loc"])]) or whole
    return f"{where}: {first['msg']}" if where else str(first["msg"])


def is_set(model: BaseModel, field: str) -> bool:
    """Return the same as CEL's ``has(self.field)``: whether the user or a schema default set the field."""
    return getattr(model, field) is not None


def has_scheme(uri: str, *schemes: str) -> bool:
    """Return whether ``uri`` has one of the schemes, or ``file``, which only local runs use."""
    return re.match(rf"({'|'.join(schemes)}|file)://.+", uri) is not None


MAX_INTEGER = 2**53 - 1
"""The largest integer that every JSON parser represents exactly."""

MAX_SECONDS = 2**31 - 1
"""The longest duration in seconds that Kubernetes' own objects accept."""

Count = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
Generation = Annotated[int, Field(ge=-1, le=MAX_INTEGER)]

Timestamp = Annotated[
    str,
    Field(
        max_length=64,
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$",
        json_schema_extra={"format": "date-time"},
    ),
]
"""RFC 3339, UTC."""

DnsLabel = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
"""A name that is valid in a label and in a host name (RFC 1123)."""

ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
"""The name of a Kubernetes object (RFC 1123 subdomain)."""

ColumnName = Annotated[str, Field(min_length=1, max_length=256)]
"""The name of a column of the user's data, as in its header."""

MetricName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9_@./-]*$")]

MetricValue = Annotated[str, Field(max_length=64, pattern=r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$")]
"""A finite number as text, because a custom resource has no portable floats (KEP-2779)."""

OptionalName = Annotated[str, Field(max_length=253, pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$")]
"""Like :data:`ObjectName`, or an empty string for the default of the cluster, as in a pod."""

Digest = Annotated[str, Field(max_length=71, pattern=r"^(sha256:)?[0-9a-f]{64}$")]

Uri = Annotated[str, Field(min_length=1, max_length=2048)]
"""An address such as ``s3://bucket/key``. The field that uses it restricts the schemes."""
