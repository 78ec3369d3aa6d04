"""ModelDeployments: the deployment, the versions of its model, its children, and who else serves the model."""

from typing import Final

from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.core.serving.observed import Observed
from trainyard_operator.core.serving.planner import plan
from trainyard_operator.kube.watched import Kind
from trainyard_operator.runtime.clock import Clock
from trainyard_operator.runtime.keys import Key
from trainyard_operator.runtime.store import Store
from trainyard_operator.runtime.turn import Facts, Step


class ModelDeploymentController:
    """Plan for ModelDeployments."""

    kind: Final[Kind] = "ModelDeployment"

    def __init__(self, store: Store, config: OperatorConfig, *, clock: Clock) -> None:
        self._store = store
        self._config = config
        self._clock = clock

    def step(self, key: Key, facts: Facts) -> Step | None:
        """Observe and plan."""
        view = self._store.model_deployment(key)
        if view is None:
            return None
        same_model = self._store.deployments_of_model(view.namespace, view.model)
        services = self._store.services(view.namespace, view.uid)
        budgets = self._store.disruption_budgets(view.namespace, view.uid)
        observed = Observed(
            deployment=view,
            versions=self._store.versions_of_model(view.namespace, view.model),
            children=self._store.deployments(view.namespace, view.uid),
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
