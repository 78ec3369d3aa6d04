"""What every API model shares: camelCase on the wire, frozen values, and rules that two judges read alike.

A :class:`Rule` carries one constraint twice: as CEL for the API server and as a Python predicate for pydantic. They
stand side by side, and a corpus of valid and invalid objects drives both, so that a laptop and a cluster agree.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
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
        transition rules (they speak of ``oldSelf``), rules about metadata, and rules that a local run does not have.
    """

    cel: str
    message: str
    holds: Callable[[Any], bool] | None = None


class ApiModel(BaseModel):
    """Base of everything in a custom resource. Unknown fields are errors, unless parsed with ``extra="ignore"``."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid", use_enum_values=False
    )

    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _apply_rules(self) -> Self:
        for rule in type(self).rules:
            if rule.holds is not None and not rule.holds(self):
                raise ValueError(rule.message)
        return self

    def wire(self) -> dict[str, Any]:
        """Return the object as the API server stores it: camelCase, JSON values, absent instead of null."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def is_set(model: BaseModel, field: str) -> bool:
    """Tell what CEL's ``has(self.field)`` tells: the user (or a schema default) gave the field a value."""
    return getattr(model, field) is not None


DnsLabel = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
"""A name that can stand in a label and in a host name (RFC 1123)."""

ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
"""The name of a Kubernetes object (RFC 1123 subdomain)."""

Column = Annotated[str, Field(min_length=1, max_length=256)]
"""The name of a column of the user's data, as it stands in the header."""

MetricName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9_@./-]*$")]

MetricValue = Annotated[str, Field(max_length=64, pattern=r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$")]
"""A finite number in text: a custom resource has no portable floats (KEP-2779)."""

Digest = Annotated[str, Field(max_length=71, pattern=r"^(sha256:)?[0-9a-f]{64}$")]

Uri = Annotated[str, Field(min_length=1, max_length=2048)]
"""An address such as ``s3://bucket/key``; which schemes are allowed is said by the field that uses it."""
