"""``search.json``: the result of a search, stored with its model. The next search starts with it."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from trainyard_trainer.artifacts.layout import ModelKeys
from trainyard_trainer.artifacts.manifest import canonical_json, fetch_file
from trainyard_trainer.artifacts.store import ArtifactStore
from trainyard_trainer.artifacts.versions import newest_run
from trainyard_trainer.errors import DataError
from trainyard_trainer.search.tunable import Tuned

SEARCH: Final = "search.json"


class _Document(BaseModel):
    """The content of the file, and of the checkpoint with the initial set.

    It has no times, so equal searches give equal bytes.
    """

    model_config = ConfigDict(extra="forbid")

    parameters: dict[str, Any]
    series: dict[str, dict[str, Any]] = {}
    trials: int = 0
    pruned: int = 0


def encode(tuned: Tuned) -> bytes:
    """Return the content of the file as bytes."""
    document = _Document(
        parameters=dict(tuned.parameters),
        series={name: dict(found) for name, found in tuned.series.items()},
        trials=tuned.trials,
        pruned=tuned.pruned,
    )
    return canonical_json(document.model_dump())


def decode(body: bytes, address: str) -> Tuned:
    """Parse the file. Raises DataError if it is invalid."""
    try:
        document = _Document.model_validate_json(body)
    except ValidationError as error:
        raise DataError(f"{address} is not the result of a search: {error.errors()[0]['msg']}") from error
    series: Mapping[str, Mapping[str, Any]] = document.series
    return Tuned(document.parameters, series, document.trials, document.pruned)


def previous(store: ArtifactStore, keys: ModelKeys, framework: str) -> Tuned | None:
    """Return the result of the search for the newest version of a model, if there is one with the same framework.

    Raises
    ------
    TrainerError
        If the version or the file is broken or missing. All data is verified before use.
    """
    run = newest_run(store, keys)
    if run is None or run.manifest.framework != framework:
        return None
    entry = next((file for file in run.manifest.files if file.path == SEARCH), None)
    if entry is None:
        return None
    with tempfile.TemporaryDirectory(prefix="trainyard-search-") as folder:
        found = fetch_file(store, run.folder, entry, Path(folder))
        return decode(found.read_bytes(), store.address(f"{run.folder}/{SEARCH}"))
