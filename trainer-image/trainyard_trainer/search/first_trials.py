"""Where a job's search begins: with what the last version's found, and the same for every attempt of the job."""

from typing import Final

from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_trainer.artifacts.checkpoints import Checkpoints
from trainyard_trainer.artifacts.layout import ModelKeys
from trainyard_trainer.artifacts.store import ArtifactStore
from trainyard_trainer.errors import DataError, TrainerError
from trainyard_trainer.progress.log import LOGGER
from trainyard_trainer.search.results import decode, encode, previous
from trainyard_trainer.search.tunable import Tuned

_CHECKPOINT: Final = "previous.json"
"""Another job may register a version between two attempts of this one, whose sets are then tried in another order."""

_NOTHING: Final = Tuned({})


def start_from(
    store: ArtifactStore, keys: ModelKeys, spec: TrainingJobSpec, checkpoints: Checkpoints
) -> tuple[Tuned | None, tuple[str, ...]]:
    """Return what the search for the model's last version found, and warnings where that cannot be told."""
    if spec.search is None:
        return None, ()
    try:
        body = checkpoints.get(_CHECKPOINT)
        if body is not None:
            return decode(body, _CHECKPOINT), ()
    except DataError as error:
        LOGGER.warning("%s; the last version is asked again", error)
    found: Tuned | None = None
    warnings: tuple[str, ...] = ()
    try:
        found = previous(store, keys, spec.framework)
    except TrainerError as error:
        warnings = (f"the search began without the parameters of the model's last version: {error}",)
    checkpoints.put(_CHECKPOINT, encode(found or _NOTHING))
    return found, warnings
