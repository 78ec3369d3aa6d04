"""What the reconciler and the controllers of the kinds share: facts read during a turn, and a step of it."""

from dataclasses import dataclass, field
from typing import Protocol

from trainyard_api.base import ApiModel
from trainyard_operator.core.champion import Rivals
from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.core.facts import Refusal
from trainyard_operator.core.objects import ModelVersionView, ObjectView, PodView, ServingPodView, WarningView
from trainyard_operator.core.plan import Kind, Plan
from trainyard_operator.kinds.base import Key
from trainyard_operator.runtime.admission import AdmissionControl
from trainyard_operator.runtime.clock import Clock
from trainyard_operator.runtime.reports import Reports
from trainyard_operator.runtime.store import Store


@dataclass
class Facts:
    """Facts read during one turn, on demand, by the name that the planner asked for."""

    pods: dict[str, tuple[PodView, ...]] = field(default_factory=dict)
    serving_pods: dict[str, tuple[ServingPodView, ...]] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    listed: bool = False
    versions: dict[str, ModelVersionView | None] = field(default_factory=dict)
    rivals: Rivals | None = None
    warnings: dict[str, tuple[WarningView, ...]] = field(default_factory=dict)
    may_update: bool | None = None
    refused: Refusal | None = None


@dataclass(frozen=True)
class Step:
    """One object and what is to be done about it next."""

    view: ObjectView[ApiModel]
    plan: Plan


@dataclass(frozen=True)
class Parts:
    """What controllers are made from.

    Attributes
    ----------
    ca
        The certificate of the progress endpoint, as PEM.
    """

    store: Store
    admission: AdmissionControl
    reports: Reports
    config: OperatorConfig
    ca: str
    clock: Clock


class Controller(Protocol):
    """One kind: from the store to its planner."""

    @property
    def kind(self) -> Kind:
        """The kind whose objects it plans for."""
        ...

    def step(self, key: Key, facts: Facts) -> Step | None:
        """Observe and plan in one go, without waiting in between; ``None`` when there is no such object."""
        ...
