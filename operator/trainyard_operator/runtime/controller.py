"""Types that the reconciler and the controllers share: facts that are read during a reconcile, and its steps."""

from dataclasses import dataclass, field
from typing import Protocol

from trainyard_api.base import ApiModel
from trainyard_operator.core.champion import ModelObjects
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
    """Facts that were read during one reconcile, by the name in the planner's request."""

    pods: dict[str, tuple[PodView, ...]] = field(default_factory=dict)
    serving_pods: dict[str, tuple[ServingPodView, ...]] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    listed: bool = False
    versions: dict[str, ModelVersionView | None] = field(default_factory=dict)
    model_objects: ModelObjects | None = None
    warnings: dict[str, tuple[WarningView, ...]] = field(default_factory=dict)
    may_update: bool | None = None
    refused: Refusal | None = None


@dataclass(frozen=True)
class Step:
    """One object and its next plan."""

    view: ObjectView[ApiModel]
    plan: Plan


@dataclass(frozen=True)
class Parts:
    """Dependencies of the controllers.

    Attributes
    ----------
    ca
        The certificate of the progress endpoint as PEM.
    """

    store: Store
    admission: AdmissionControl
    reports: Reports
    config: OperatorConfig
    ca: str
    clock: Clock


class Controller(Protocol):
    """Interface of one kind: it reads the store and calls the planner."""

    @property
    def kind(self) -> Kind:
        """The kind that it plans for."""
        ...

    def step(self, key: Key, facts: Facts) -> Step | None:
        """Observe and plan in one synchronous step. Return ``None`` if the object does not exist."""
        ...
