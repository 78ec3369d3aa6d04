"""The file that passes data from ``fetch`` to ``register``.

It is in the work folder, which the user's container cannot see.
"""

from pathlib import Path
from typing import Final

from trainyard_api.wire import WireModel
from trainyard_trainer.data.dataset import Dataset, Finding, Origin
from trainyard_trainer.report.profile.profiling import NOT_PROFILED, Profiled

_FILE: Final = "handover.json"


class Handover(WireModel):
    """The current run, and facts about the data without its rows.

    ``run`` is the key of the run's folder in the store.
    """

    run: str
    origin: Origin
    holdout_digest: str
    rows: int
    series_total: int
    findings: tuple[Finding, ...]
    classes: tuple[str, ...] = ()
    profiled: Profiled = NOT_PROFILED

    @classmethod
    def of(cls, run: str, dataset: Dataset, profiled: Profiled) -> "Handover":
        """Return the facts about a dataset that the manifest and the report need."""
        return cls(
            run=run,
            origin=dataset.origin,
            holdout_digest=dataset.holdout_digest,
            rows=dataset.rows,
            series_total=dataset.series_total,
            findings=(*profiled.findings, *dataset.findings),
            classes=dataset.classes,
            profiled=profiled,
        )


def leave(handover: Handover, work_dir: Path) -> None:
    """Write the file. Raises OSError."""
    work_dir.mkdir(parents=True, exist_ok=True)
    (work_dir / _FILE).write_text(handover.to_json(), encoding="utf-8")


def take(work_dir: Path) -> Handover:
    """Read the file. Raises OSError or :class:`pydantic.ValidationError` if ``fetch`` did not run in this pod."""
    return Handover.model_validate_json((work_dir / _FILE).read_bytes())
