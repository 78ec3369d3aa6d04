"""The champion that an attempt is handed: the trainer compares its model with it on equal rows."""

from pydantic import ValidationError

from trainyard_api.modelversion import ModelVersionSpec
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_api.wire import ChampionRef
from trainyard_operator.core import champion
from trainyard_operator.core.champion import Rivals


def is_wanted(spec: TrainingJobSpec) -> bool:
    """Tell whether the pods of a job compare something with the champion: their model, or at least their data."""
    return spec.mode == "Train"


def champion_of(rivals: Rivals) -> ChampionRef | None:
    """Return the champion as a trainer needs it; ``None`` where there is none, or none that could be read.

    A champion that is not handed over is missing in the comparison, so the gates stay closed.
    """
    chosen = champion.choose(rivals) if champion.is_known(rivals) else None
    if chosen is None or chosen.view is None:
        return None
    try:
        spec = ModelVersionSpec.model_validate(chosen.view.spec, extra="ignore")
    except ValidationError:
        return None
    return ChampionRef(version=chosen.version, artifact=spec.artifact)
