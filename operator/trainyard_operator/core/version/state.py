"""Input of the ModelVersion planner."""

from dataclasses import dataclass
from datetime import datetime

from trainyard_operator.core.objects import ModelDeploymentView, ModelVersionView


@dataclass(frozen=True)
class VersionState:
    """Input of one decision about a version.

    Attributes
    ----------
    others
        The other ModelVersions of the model in this namespace, in any order. They are read only to judge the version.
    deployments
        The ModelDeployments of the model in this namespace, in any order.
    trained_here
        Whether the TrainingJob of the version exists. Otherwise, the version was imported or restored, or its job was
        deleted.
    """

    version: ModelVersionView
    others: tuple[ModelVersionView, ...]
    deployments: tuple[ModelDeploymentView, ...]
    now: datetime
    trained_here: bool = True
