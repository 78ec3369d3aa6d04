"""Thousands of Prophet models in two files: ``models.jsonl.zst`` and ``models.index.json``.

Each model is a separate compressed frame. So the file is plain Zstandard (``zstdcat`` prints one JSON object per line),
it is written without keeping all models in memory, and a single model can be read by its offset.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from trainyard_trainer.data.values.zones import wall_times
from trainyard_trainer.frameworks.forecast.columns import Columns, Times
from trainyard_trainer.frameworks.prophet.quantiles import Quantiles
from trainyard_trainer.frameworks.prophet.series import read_record

MODELS_FILE: Final = "models.jsonl.zst"
INDEX_FILE: Final = "models.index.json"
FILES: Final = (MODELS_FILE, INDEX_FILE)


@dataclass(frozen=True)
class Bundle:
    """The models of a job on disk.

    Attributes
    ----------
    index
        Maps a series to the offset and the length of its record.
    until
        The time of the newest training row of each series. Empty for models of older releases.
    zone
        The zone to which times in UTC are converted for the models. Empty if they are not converted.
    frequency, horizon
        The frequency and the horizon of the training. Empty and 0 for models of older releases.
    replaced
        Records that replace those on disk, if the model was refreshed.
    """

    folder: Path
    columns: Columns
    index: dict[str, tuple[int, int]]
    quantiles: Quantiles = field(default_factory=Quantiles)
    until: dict[str, str] = field(default_factory=dict)
    zone: str = ""
    frequency: str = ""
    horizon: int = 0
    replaced: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the index. The models stay on disk."""
        fields = json.loads((folder / INDEX_FILE).read_text())
        index = {name: (int(offset), int(length)) for name, (offset, length) in fields["series"].items()}
        columns = Columns.from_json(fields["columns"])
        asked = fields.get("quantiles", {})  # missing if there are no quantiles
        quantiles = Quantiles(tuple(asked.get("levels", ())), int(asked.get("seed", 0)))
        until, zone = fields.get("until", {}), fields.get("zone", "")
        frequency, horizon = fields.get("frequency", ""), fields.get("horizon", 0)
        return cls(folder, columns, index, quantiles, until, zone, frequency, horizon)

    def seen(self, times: Times) -> Times:
        """Convert times from the clock of the columns to the clock of the models."""
        return wall_times(times, self.zone) if self.zone else times

    def read(self, series: str) -> dict[str, Any]:
        """Return the record of one series. Raises KeyError."""
        if series in self.replaced:
            return dict(self.replaced[series])
        offset, length = self.index[series]
        with (self.folder / MODELS_FILE).open("rb") as file:
            file.seek(offset)
            return read_record(file.read(length))


class BundleWriter:
    """Appends finished models to the file. ``close`` writes the index."""

    def __init__(
        self, folder: Path, columns: Columns, quantiles: Quantiles, *, zone: str, frequency: str, horizon: int
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._bundle = Bundle(folder, columns, {}, quantiles, zone=zone, frequency=frequency, horizon=horizon)
        self._file = (folder / MODELS_FILE).open("wb")

    def add(self, series: str, record: bytes, until: np.datetime64) -> None:
        """Write one model."""
        self._bundle.index[series] = (self._file.tell(), len(record))
        self._bundle.until[series] = str(until)
        self._file.write(record)

    def close(self) -> Bundle:
        """Close both files."""
        self._file.close()
        fields: dict[str, Any] = {
            "columns": asdict(self._bundle.columns),
            "series": self._bundle.index,
            "until": self._bundle.until,
            "frequency": self._bundle.frequency,
            "horizon": self._bundle.horizon,
        }
        if self._bundle.zone:
            fields["zone"] = self._bundle.zone
        if self._bundle.quantiles.levels:
            fields["quantiles"] = asdict(self._bundle.quantiles)
        (self._bundle.folder / INDEX_FILE).write_text(json.dumps(fields, ensure_ascii=False) + "\n")
        return self._bundle
