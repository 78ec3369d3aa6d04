"""The threshold of two classes, chosen in the same way by all frameworks for tables."""

import numpy as np
import numpy.typing as npt

from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.errors import ConfigError
from trainyard_trainer.evaluate import names
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.evaluate.thresholds import Cut, choose


def check_classes(spec: TrainingJobSpec, dataset: Dataset) -> None:
    """Check settings that need two classes against the classes of the target. Raises ConfigError."""
    if not dataset.classes:
        return
    names.check_metrics(spec, len(dataset.classes))
    if spec.threshold is not None and len(dataset.classes) != 2:
        raise ConfigError(
            f"spec.threshold needs a target of two classes, but column {dataset.target!r} has {len(dataset.classes)}; "
            "leave it out to predict the most probable class"
        )


def cut_for(spec: TrainingJobSpec, dataset: Dataset, rows: npt.NDArray[np.intp], probability: Floats) -> Cut | None:
    """Return the threshold for the probabilities of the positive class, or ``None`` unless there are two classes.

    Parameters
    ----------
    rows, probability
        The validation rows, and their probabilities; shape (rows,) each.
    """
    positive = dataset.positive_class
    if positive is None:
        return None
    target = dataset.frame[dataset.target].to_numpy(dtype=np.float64).astype(np.intp)
    known = target
    if dataset.parts is not None:
        known = target[np.concatenate([dataset.parts.train, dataset.parts.validation])]
    share = float(np.mean(known == 1))
    return choose(spec.threshold, target[rows], probability, positive=positive, rarer_share=min(share, 1 - share))


def note_of(dataset: Dataset, threshold: float | None, why: str) -> tuple[str, ...]:
    """Return notes for readers of the metrics of two classes: the positive class, and its threshold."""
    if dataset.positive_class is None or threshold is None:
        return ()
    positive = dataset.positive_class
    return (f"precision, recall, F1 and the curves refer to {positive!r} from probability {threshold:.4g}: {why}",)
