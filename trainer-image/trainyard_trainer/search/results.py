"""``search.json``: what a search found, beside the model that was trained with it, and where the next search begins."""

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
    """The file, and the checkpoint of what an attempt began with. No times: the same search gives the same bytes."""

    model_config = ConfigDict(extra="forbid")

    parameters: dict[str, Any]
    series: dict[str, dict[str, Any]] = {}
    trials: int = 0
    pruned: int = 0


def encode(tuned: Tuned) -> bytes:
    """Return the bytes of the file."""
    document = _Document(
        parameters=dict(tuned.parameters),
        series={name: dict(found) for name, found in tuned.series.items()},
        trials=tuned.trials,
        pruned=tuned.pruned,
    )
    return canonical_json(document.model_dump())


def decode(body: bytes, address: str) -> Tuned:
    """Read the file back. Raises DataError if it is none."""
    try:
        document = _Document.model_validate_json(body)
    except ValidationError as error:
        raise DataError(f"{address} is not the result of a search: {error.errors()[0]['msg']}") from error
    series: Mapping[str, Mapping[str, Any]] = document.series
    return Tuned(document.parameters, series, document.trials, document.pruned)


def previous(store: ArtifactStore, keys: ModelKeys, framework: str) -> Tuned | None:
    """Return what the search for the newest version of a model found, if there is one and the framework is the same.

    Raises
    ------
    TrainerError
        If the version or the file is broken or gone: everything is verified before it is used.
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
