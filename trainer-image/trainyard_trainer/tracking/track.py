"""Report a claimed version to experiment trackers, within seconds. Their errors do not fail a training."""

from trainyard_api.wire import TrainerConfig
from trainyard_trainer.artifacts.runs import FinishedRun
from trainyard_trainer.artifacts.store import ArtifactStore
from trainyard_trainer.artifacts.versions import VersionRecord
from trainyard_trainer.environment import Environment
from trainyard_trainer.progress.log import LOGGER


def track(
    config: TrainerConfig, env: Environment, store: ArtifactStore, record: VersionRecord, run: FinishedRun
) -> tuple[str, ...]:
    """Report a version to every tracker of the specification. Return a message for each failure."""
    tracking = config.spec.tracking
    if tracking is None or tracking.mlflow is None:
        return ()
    from trainyard_trainer.tracking.mlflow_run import log_run

    failure = log_run(tracking.mlflow, env, store, record, run)
    if failure is None:
        return ()
    LOGGER.warning("%s", failure)
    return (failure,)
