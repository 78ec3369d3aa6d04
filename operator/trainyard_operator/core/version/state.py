"""What the planner of ModelVersions looks at: one version, the others of its model, and who serves them."""

from dataclasses import dataclass
from datetime import datetime

from trainyard_operator.core.objects import ModelDeploymentView, ModelVersionView


@dataclass(frozen=True)
class VersionState:
    """Everything one decision about a version may depend on.

    Attributes
    ----------
    others
        The other ModelVersions of the model in this namespace, in any order. Read only while the version is judged.
    deployments
        The ModelDeployments of the model in this namespace, in any order.
    trained_here
        The TrainingJob that made the version is there. Else the version is imported, restored, or outlived its job.
    """

    version: ModelVersionView
    others: tuple[ModelVersionView, ...]
    deployments: tuple[ModelDeploymentView, ...]
    now: datetime
    trained_here: bool = True
