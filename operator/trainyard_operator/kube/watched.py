"""The kinds that are watched: where they lie, and which of them are ours."""

from dataclasses import dataclass
from typing import Final, Literal

from trainyard_api import meta
from trainyard_operator.kube.port import (
    DEPLOYMENTS,
    JOBS,
    MODEL_DEPLOYMENTS,
    MODEL_VERSIONS,
    POD_DISRUPTION_BUDGETS,
    SERVICES,
    TRAINING_JOBS,
    TRAINING_SCHEDULES,
    Resource,
)

Kind = Literal[
    "TrainingJob",
    "TrainingSchedule",
    "ModelVersion",
    "ModelDeployment",
    "Job",
    "Deployment",
    "Service",
    "PodDisruptionBudget",
]

OURS: Final = f"{meta.MANAGED_BY_LABEL}={meta.MANAGED_BY}"


@dataclass(frozen=True)
class Watched:
    """A resource, and the label selector that picks out what concerns us; empty for all of it."""

    resource: Resource
    selector: str = ""


WATCHED: Final[dict[Kind, Watched]] = {
    "TrainingJob": Watched(TRAINING_JOBS),
    "TrainingSchedule": Watched(TRAINING_SCHEDULES),
    "ModelVersion": Watched(MODEL_VERSIONS),
    "ModelDeployment": Watched(MODEL_DEPLOYMENTS),
    "Job": Watched(JOBS, OURS),
    "Deployment": Watched(DEPLOYMENTS, OURS),
    "Service": Watched(SERVICES, OURS),
    "PodDisruptionBudget": Watched(POD_DISRUPTION_BUDGETS, OURS),
}

PLANNED: Final[tuple[Kind, ...]] = ("TrainingJob", "TrainingSchedule", "ModelVersion", "ModelDeployment")
"""The custom resources: each has a planner and turns of its own. The others are their children."""
