"""Profile the data of a training, and compare it with that of the champion. Errors here do not end a training."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from trainyard_api.metric_goals import DATA
from trainyard_api.wire import TrainerConfig
from trainyard_trainer.data.dataset import Dataset, Finding
from trainyard_trainer.environment import Environment
from trainyard_trainer.errors import TrainerError
from trainyard_trainer.evaluate.data_metrics import (
    MISSING_INCREASE,
    RELATION_SHIFT,
    ROWS_RATIO,
    SCALE_RATIO,
    SHIFT,
    TARGET_SHIFT,
)
from trainyard_trainer.progress.log import LOGGER
from trainyard_trainer.report.profile.build import Sample, profile_of
from trainyard_trainer.report.profile.champion import champion_profile
from trainyard_trainer.report.profile.changes import DataComparison
from trainyard_trainer.report.profile.compare import compare
from trainyard_trainer.report.profile.model import Profile

_CODES: Final[Mapping[str, str]] = {
    ROWS_RATIO: "FewerRows",
    SHIFT: "DataShift",
    TARGET_SHIFT: "TargetShift",
    MISSING_INCREASE: "MoreMissing",
    SCALE_RATIO: "OtherScale",
    RELATION_SHIFT: "RelationWeakened",
    "not compared": "NotCompared",
    "new": "NewColumns",
}
"""The code of the finding of each measure."""


@dataclass(frozen=True)
class Profiled:
    """The profile of the data of a training, and its comparison.

    Attributes
    ----------
    profile
        ``None`` only if there was an error, which is in ``findings``.
    comparison
        ``None`` without a champion to compare with.
    """

    profile: Profile | None = None
    comparison: DataComparison | None = None
    findings: tuple[Finding, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)


NOT_PROFILED: Final = Profiled()
"""Result for a training that was not profiled."""


def profiled(dataset: Dataset, config: TrainerConfig, env: Environment) -> Profiled:
    """Return the profile of a dataset, and its changes since the training of the champion.

    If the profile of the champion is unavailable, there is a warning and the training continues. A gate on a missing
    metric fails.
    """
    try:
        sample = Sample.of(dataset, config.spec.data.target)
        profile = profile_of(sample)
        if config.champion is None:
            return Profiled(profile)
        return _beside_champion(profile, sample, config, env)
    except Exception as error:  # noqa: BLE001 - an error in the description must not fail the training
        LOGGER.exception("the data could not be described")
        text = f"the data could not be described and compared ({type(error).__name__}: {error}); please report this"
        return Profiled(findings=(Finding("NoProfile", "warning", text),))


def _beside_champion(profile: Profile, sample: Sample, config: TrainerConfig, env: Environment) -> Profiled:
    champion, storage = config.champion, config.spec.storage
    if champion is None or storage is None:
        raise AssertionError("the caller has a champion, and the pipeline a storage")
    name = f"version {champion.version}, which serves,"
    try:
        with tempfile.TemporaryDirectory(prefix="profile-", dir=env.work_dir) as folder:
            then = champion_profile(champion, storage, env, Path(folder))
    except TrainerError as error:
        text = f"the data was not compared with that of version {champion.version}, which serves: {error}"
        return Profiled(profile, findings=(_not_compared(text, config, failed=True),))
    if then is None:
        text = f"{name} has no training profile, so the data was not compared"
        return Profiled(profile, findings=(_not_compared(text, config),))
    if (then.task, then.target.name, then.target.kind) != (profile.task, profile.target.name, profile.target.kind):
        text = f"{name} was trained for task {then.task} and target {then.target.name!r}, so the data was not compared"
        return Profiled(profile, findings=(_not_compared(text, config),))
    found = compare(then, profile, sample, champion.version, config.spec.data)
    findings = tuple(Finding(_CODES[one.measure], one.severity, one.message) for one in found.changes if one.message)
    return Profiled(profile, found, findings, found.metrics)


def _not_compared(text: str, config: TrainerConfig, *, failed: bool = False) -> Finding:
    """Return a note, or a warning with a solution if something failed or a gate needs the comparison."""
    gates = [gate.metric for gate in config.spec.gates or () if gate.metric.startswith(DATA)]
    if gates:
        text += (
            f". The gate on {gates[0]} fails without the comparison: train one version without the gate and "
            "let it serve, or validate this version by hand"
        )
    return Finding("NotCompared", "warning" if failed or gates else "info", text)
