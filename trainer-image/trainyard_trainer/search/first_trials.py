"""The first sets of a job's search: those of the last version's search, equal for all attempts of the job."""

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
"""Saved because another job may register a version between two attempts, and then the first sets would differ."""

_NOTHING: Final = Tuned({})


def start_from(
    store: ArtifactStore, keys: ModelKeys, spec: TrainingJobSpec, checkpoints: Checkpoints
) -> tuple[Tuned | None, tuple[str, ...]]:
    """Return the result of the search for the model's last version, and warnings if it is unavailable."""
    if spec.search is None:
        return None, ()
    try:
        body = checkpoints.get(_CHECKPOINT)
        if body is not None:
            return decode(body, _CHECKPOINT), ()
    except DataError as error:
        LOGGER.warning("%s; reading the parameters of the last version again", error)
    found: Tuned | None = None
    warnings: tuple[str, ...] = ()
    try:
        found = previous(store, keys, spec.framework)
    except TrainerError as error:
        warnings = (f"the search starts without the parameters of the model's last version: {error}",)
    checkpoints.put(_CHECKPOINT, encode(found or _NOTHING))
    return found, warnings
