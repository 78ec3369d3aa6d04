"""Removal of what nothing uses: looked up, shown, and with the request to delete looked up once more and removed."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from trainyard_trainer.artifacts.layout import ModelKeys
from trainyard_trainer.artifacts.manifest import canonical_json
from trainyard_trainer.artifacts.store import ArtifactStore
from trainyard_trainer.artifacts.versions import VersionRecord, numbers_of, read_record, was_removed
from trainyard_trainer.cli.upkeep.plan import Removal, plan
from trainyard_trainer.cli.upkeep.usage import Usage
from trainyard_trainer.errors import ConfigError, DataError

_SIDE_BY_SIDE: Final = 8
"""Claims read at once."""

Learn = Callable[[], Usage]
"""Asks what is in use at this moment. Raises TrainerError where that cannot be learned: then nothing is removed."""


@dataclass(frozen=True)
class Found:
    """What of a model may be removed, and its claims; or ``fault``: why nothing of it may."""

    keys: ModelKeys
    removals: tuple[Removal, ...] = ()
    claims: dict[int, VersionRecord] | None = None
    fault: str = ""


def find_unused(store: ArtifactStore, models: Sequence[ModelKeys], usage: Usage, before: datetime) -> Iterator[Found]:
    """Find what nothing uses, model by model. Raises TrainerError if the storage refuses or is away."""
    for keys in models:
        try:
            claims = _claims(store, keys)
        except DataError as error:
            yield Found(keys, fault=f"{error}; until then nothing of {keys.base} is removed")
            continue
        yield Found(keys, tuple(plan(keys, store.walk(keys.base), claims, usage, before)), claims)


def require_versions(store: ArtifactStore, models: Sequence[ModelKeys], usage: Usage, namespace: str) -> None:
    """Refuse where the storage has versions and the cluster has none: it may have lost them.

    Raises
    ------
    ConfigError
        If so.
    """
    if usage.registered:
        return
    for keys in models:
        if any(not was_removed(store, keys, number) for number in numbers_of(store, keys)):
            raise ConfigError(
                f"namespace {namespace} has no ModelVersion, and {store.address(keys.versions)} has versions: if the "
                "cluster has lost them, restore or import them first; if none is wanted any more, add "
                "--no-version-in-use"
            )


def remove(store: ArtifactStore, found: Found, learn: Learn, before: datetime) -> list[Removal]:
    """Remove what was found and is still not used; return what was removed.

    A crash at any point leaves no manifest that names a file that is gone, and the next call goes on:

    1. A mark beside each claim says that the version is being removed: from now on ``import`` does not make it again.
    2. What is in use is asked again. What has come into use meanwhile stays, and its mark goes.
    3. The manifests go: the runs do not count any more. Then all other files.

    Raises
    ------
    TrainerError
        If the storage refuses or is away, or what is in use cannot be learned.
    """
    keys = found.keys
    marked = {one.number for one in found.removals if one.number is not None}
    mark = canonical_json({"removedAt": datetime.now(UTC).isoformat(timespec="milliseconds")})
    for number in sorted(marked):
        store.put_if_absent(keys.removed(number), mark)
    again = plan(keys, store.walk(keys.base), found.claims or {}, learn(), before)
    seen = {one.folder for one in found.removals}
    now = [one for one in again if one.folder in seen]
    store.remove([keys.removed(number) for number in sorted(marked - {one.number for one in now})])
    store.remove([key for one in now for key in one.manifests])
    store.remove([key for one in now for key in one.rest])
    return now


def unmark(store: ArtifactStore, found: Found, usage: Usage) -> list[int]:
    """Take back the marks of versions that are in use: somebody has restored them. Return their numbers."""
    keys = found.keys
    numbers = [
        number
        for number in found.claims or {}
        if (keys.model, number) in usage.versions and was_removed(store, keys, number)
    ]
    store.remove([keys.removed(number) for number in numbers])
    return numbers


def _claims(store: ArtifactStore, keys: ModelKeys) -> dict[int, VersionRecord]:
    numbers = numbers_of(store, keys)
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        found = list(pool.map(lambda number: read_record(store, keys, number), numbers))
    return {number: record for number, record in zip(numbers, found, strict=True) if record is not None}
