"""Registry of the watched kinds. A new kind needs a module, a controller and an entry here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from trainyard_operator.core.plan import Kind
from trainyard_operator.kinds.base import Kinds, WatchedKind
from trainyard_operator.kinds.children import CHILDREN
from trainyard_operator.kinds.model_deployment import MODEL_DEPLOYMENT
from trainyard_operator.kinds.model_version import MODEL_VERSION
from trainyard_operator.kinds.prediction_job import PREDICTION_JOB
from trainyard_operator.kinds.training_job import TRAINING_JOB
from trainyard_operator.kinds.training_schedule import TRAINING_SCHEDULE
from trainyard_operator.runtime.controller import Controller, Parts
from trainyard_operator.runtime.controllers.model_deployment import ModelDeploymentController
from trainyard_operator.runtime.controllers.model_version import ModelVersionController
from trainyard_operator.runtime.controllers.prediction_job import PredictionJobController
from trainyard_operator.runtime.controllers.training_job import TrainingJobController
from trainyard_operator.runtime.controllers.training_schedule import TrainingScheduleController


@dataclass(frozen=True)
class Entry:
    """A kind, its controller, and its relative share of the reconciles."""

    kind: WatchedKind[Any]
    controller: Callable[[Parts], Controller]
    share: int


ENTRIES: Final = (
    Entry(MODEL_DEPLOYMENT, ModelDeploymentController.of, 32),
    Entry(TRAINING_SCHEDULE, TrainingScheduleController.of, 8),
    Entry(MODEL_VERSION, ModelVersionController.of, 8),
    Entry(PREDICTION_JOB, PredictionJobController, 1),
    Entry(TRAINING_JOB, TrainingJobController, 1),
)
"""If several kinds are due at the same time, the first one here goes first.

Therefore an idle ModelDeployment waits for one reconcile of each other kind at most.
"""

KINDS: Final = Kinds(*(entry.kind for entry in ENTRIES), *CHILDREN)
SHARES: Final[dict[Kind, int]] = {entry.kind.name: entry.share for entry in ENTRIES}
