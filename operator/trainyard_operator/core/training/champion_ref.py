"""The champion of an attempt. The trainer compares its model with the champion on the same rows."""

from pydantic import ValidationError

from trainyard_api.modelversion import ModelVersionSpec
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_api.wire import ChampionRef
from trainyard_operator.core import champion
from trainyard_operator.core.champion import ModelObjects


def is_wanted(spec: TrainingJobSpec) -> bool:
    """Return whether the pods of a job compare their model, or their data, with the champion."""
    return spec.mode == "Train"


def champion_of(model_objects: ModelObjects) -> ChampionRef | None:
    """Return the champion in the form that a trainer needs, ``None`` if there is none or none can be read.

    Without a champion there is no comparison, so gates that need one fail.
    """
    chosen = champion.choose(model_objects) if champion.is_known(model_objects) else None
    if chosen is None or chosen.view is None:
        return None
    try:
        spec = ModelVersionSpec.model_validate(chosen.view.spec, extra="ignore")
    except ValidationError:
        return None
    return ChampionRef(version=chosen.version, artifact=spec.artifact)
