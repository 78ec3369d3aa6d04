"""ModelVersions: the version, the other versions of its model, and the deployments of the model."""

from typing import Final

from trainyard_operator.core.objects import ModelVersionView
from trainyard_operator.core.plan import Kind
from trainyard_operator.core.version.planner import plan
from trainyard_operator.core.version.state import VersionState
from trainyard_operator.kinds.base import Key, model_term
from trainyard_operator.kinds.model_deployment import MODEL_DEPLOYMENT
from trainyard_operator.kinds.model_version import MODEL_VERSION
from trainyard_operator.kinds.training_job import TRAINING_JOB
from trainyard_operator.runtime.clock import Clock
from trainyard_operator.runtime.controller import Facts, Parts, Step
from trainyard_operator.runtime.store import Store


class ModelVersionController:
    """Controller for ModelVersions."""

    kind: Final[Kind] = MODEL_VERSION.name

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    @classmethod
    def of(cls, parts: Parts) -> "ModelVersionController":
        """Create the controller from the parts of an operator."""
        return cls(parts.store, clock=parts.clock)

    def step(self, key: Key, facts: Facts) -> Step | None:  # noqa: ARG002 - everything it needs is watched
        """Observe and plan."""
        view = self._store.get(MODEL_VERSION, key.namespace, key.name)
        if view is None:
            return None
        observed = VersionState(
            version=view,
            others=self._others(view) if view.is_pending else (),
            deployments=self._store.find(MODEL_DEPLOYMENT, model_term(view.namespace, view.model)),
            now=self._clock(),
            trained_here=self._trained_here(view),
        )
        return Step(view, plan(observed))

    def _trained_here(self, view: ModelVersionView) -> bool:
        made_by = view.spec.get("trainingJob") or {}
        job = self._store.get(TRAINING_JOB, view.namespace, str(made_by.get("name")))
        return job is not None and job.uid == made_by.get("uid")

    def _others(self, view: ModelVersionView) -> tuple[ModelVersionView, ...]:
        """Return the other versions of the model."""
        versions = self._store.find(MODEL_VERSION, model_term(view.namespace, view.model))
        return tuple(other for other in versions if other.name != view.name)
