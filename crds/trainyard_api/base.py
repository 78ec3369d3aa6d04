"""What every API model shares: camelCase on the wire, frozen values, and rules that two judges read alike.

A :class:`Rule` carries one constraint twice: as CEL for the API server and as a Python predicate for pydantic. They
stand side by side, and a corpus of valid and invalid objects drives both, so that a laptop and a cluster agree.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel


@dataclass(frozen=True)
class Rule:
    """A constraint on one object that a schema's types and bounds cannot say.

    Attributes
    ----------
    cel
        The expression the API server evaluates on ``self``.
    message
        One sentence for the user: what is wrong and what to do.
    holds
        The same constraint for pydantic, called with the parsed model. ``None`` for what only the API server can judge:
        transition rules (they speak of ``oldSelf``) and rules about metadata.
    field
        The field below ``self`` that the API server names in its answer; the object itself when left out.
    message_cel
        An expression for a message that depends on what is wrong. ``message`` stands where it cannot be evaluated.
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
    """Put a model's rules into its JSON schema, from where the custom resource definition takes them."""
    if issubclass(model, ApiModel) and model.rules:
        schema["x-kubernetes-validations"] = [rule.validation() for rule in model.rules]


def _as_json(value: Any) -> Any:
    """Return what JSON makes of a Python value: a list of a tuple, and the integer 28 of 28.0, as kubectl sends it."""
    match value:
        case tuple():
            return list(value)
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


class ApiModel(BaseModel):
    """Base of everything in a custom resource. Unknown fields are errors, unless parsed with ``extra="ignore"``.

    Types are strict and NaN is refused, since the API server takes no ``"5"`` for a number either.
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
        """Drop nulls, as the API server does: ``null`` means absent."""
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
        """Return the object as the API server stores it: camelCase, JSON values, absent instead of null."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def first_problem(error: ValidationError, *path: str, whole: str = "") -> str:
    """Return the first thing that is wrong with a value, as one line: ``spec.data.target: Field required``.

    ``path`` is where the value itself stands, ``whole`` what to call it where no field of it is the cause.
    """
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join([*path, *(str(part) for part in first["loc"])]) or whole
    return f"{where}: {first['msg']}" if where else str(first["msg"])


def is_set(model: BaseModel, field: str) -> bool:
    """Tell what CEL's ``has(self.field)`` tells: the user (or a schema default) gave the field a value."""
    return getattr(model, field) is not None


def has_scheme(uri: str, *schemes: str) -> bool:
    """Tell whether ``uri`` is an address of one of the schemes, or of a file: those exist in local runs alone."""
    return re.match(rf"({'|'.join(schemes)}|file)://.+", uri) is not None


MAX_INTEGER = 2**53 - 1
"""The largest integer that every reader of JSON holds exactly."""

MAX_SECONDS = 2**31 - 1
"""The longest duration that Kubernetes' own objects take."""

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
"""A name that can stand in a label and in a host name (RFC 1123)."""

ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
"""The name of a Kubernetes object (RFC 1123 subdomain)."""

ColumnName = Annotated[str, Field(min_length=1, max_length=256)]
"""The name of a column of the user's data, as it stands in the header."""

MetricName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9_@./-]*$")]

MetricValue = Annotated[str, Field(max_length=64, pattern=r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$")]
"""A finite number in text: a custom resource has no portable floats (KEP-2779)."""

OptionalName = Annotated[str, Field(max_length=253, pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$")]
"""As :data:`ObjectName`; the empty text means the cluster's default, as in a pod."""

Digest = Annotated[str, Field(max_length=71, pattern=r"^(sha256:)?[0-9a-f]{64}$")]

Uri = Annotated[str, Field(min_length=1, max_length=2048)]
"""An address such as ``s3://bucket/key``; which schemes are allowed is said by the field that uses it."""
