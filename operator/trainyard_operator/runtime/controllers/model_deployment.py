"""ModelDeployments: the deployment, the versions of its model, its children, and other deployments of the model."""

from typing import Final

from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.core.plan import Kind
from trainyard_operator.core.serving.planner import plan
from trainyard_operator.core.serving.state import ServingState
from trainyard_operator.kinds.base import Key, model_term
from trainyard_operator.kinds.children import DEPLOYMENT, DISRUPTION_BUDGET, SERVICE
from trainyard_operator.kinds.model_deployment import MODEL_DEPLOYMENT
from trainyard_operator.kinds.model_version import MODEL_VERSION
from trainyard_operator.runtime.clock import Clock
from trainyard_operator.runtime.controller import Facts, Parts, Step
from trainyard_operator.runtime.store import Store


class ModelDeploymentController:
    """Controller for ModelDeployments."""

    kind: Final[Kind] = MODEL_DEPLOYMENT.name

    def __init__(self, store: Store, config: OperatorConfig, *, clock: Clock) -> None:
        self._store = store
        self._config = config
        self._clock = clock

    @classmethod
    def of(cls, parts: Parts) -> "ModelDeploymentController":
        """Create the controller from the parts of an operator."""
        return cls(parts.store, parts.config, clock=parts.clock)

    def step(self, key: Key, facts: Facts) -> Step | None:
        """Observe and plan."""
        view = self._store.get(MODEL_DEPLOYMENT, key.namespace, key.name)
        if view is None:
            return None
        of_model = model_term(view.namespace, view.model)
        same_model = self._store.find(MODEL_DEPLOYMENT, of_model)
        services = self._store.children(SERVICE, view.namespace, view.uid)
        budgets = self._store.children(DISRUPTION_BUDGET, view.namespace, view.uid)
        observed = ServingState(
            deployment=view,
            versions=self._store.find(MODEL_VERSION, of_model),
            children=self._store.children(DEPLOYMENT, view.namespace, view.uid),
            service=next((service for service in services if service.name == view.name), None),
            others=tuple(other for other in same_model if other.name != view.name),
            now=self._clock(),
            config=self._config,
            serving_pods=facts.serving_pods,
            may_update=facts.may_update,
            refused=facts.refused,
            budget=next((budget for budget in budgets if budget.name == view.name), None),
        )
        return Step(view, plan(observed))
