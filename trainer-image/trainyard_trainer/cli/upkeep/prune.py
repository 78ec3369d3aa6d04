"""Remove unused objects.

They are found and shown. With the request to delete, usage is checked again before the removal.
"""

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

_PARALLEL_READS: Final = 8
"""Number of claims read in parallel."""

ReadUsage = Callable[[], Usage]
"""Returns what is in use now. Raises TrainerError if that cannot be read; then nothing is removed."""


@dataclass(frozen=True)
class Found:
    """The removable objects of a model, and its claims. Or ``fault``, the reason why nothing can be removed."""

    keys: ModelKeys
    removals: tuple[Removal, ...] = ()
    claims: dict[int, VersionRecord] | None = None
    fault: str = ""


def find_unused(store: ArtifactStore, models: Sequence[ModelKeys], usage: Usage, before: datetime) -> Iterator[Found]:
    """Find unused objects, model by model. Raises TrainerError if the storage rejects a request or is unavailable."""
    for keys in models:
        try:
            claims = _claims(store, keys)
        except DataError as error:
            yield Found(keys, fault=f"{error}; until then nothing of {keys.base} is removed")
            continue
        yield Found(keys, tuple(plan(keys, store.walk(keys.base), claims, usage, before)), claims)


def require_versions(store: ArtifactStore, models: Sequence[ModelKeys], usage: Usage, namespace: str) -> None:
    """Check that the cluster has ModelVersions if the storage has versions. Otherwise it may have lost them.

    Raises
    ------
    ConfigError
        If the storage has versions and the cluster has none.
    """
    if usage.registered:
        return
    for keys in models:
        if any(not was_removed(store, keys, number) for number in numbers_of(store, keys)):
            raise ConfigError(
                f"namespace {namespace} has no ModelVersion, but {store.address(keys.versions)} has versions: if "
                "the cluster has lost them, restore or import them first; if you do not need them any more, add "
                "--no-version-in-use"
            )


def remove(store: ArtifactStore, found: Found, read_usage: ReadUsage, before: datetime) -> list[Removal]:
    """Remove the objects found that are still unused. Return what was removed.

    If the process crashes at any point, no remaining manifest names a missing file, and the next call continues:

    1. A mark next to each claim records that the version is being removed. From then on, ``import`` does not rebuild
    it.
    2. Usage is read again. Objects that are used now are kept, and their marks are removed.
    3. The manifests are removed first, so the runs become invalid. Then all other files are removed.

    Raises
    ------
    TrainerError
        If the storage rejects a request or is unavailable, or usage cannot be read.
    """
    keys = found.keys
    marked = {one.number for one in found.removals if one.number is not None}
    mark = canonical_json({"removedAt": datetime.now(UTC).isoformat(timespec="milliseconds")})
    for number in sorted(marked):
        store.put_if_absent(keys.removed(number), mark)
    again = plan(keys, store.walk(keys.base), found.claims or {}, read_usage(), before)
    seen = {one.folder for one in found.removals}
    now = [one for one in again if one.folder in seen]
    store.remove([keys.removed(number) for number in sorted(marked - {one.number for one in now})])
    store.remove([key for one in now for key in one.manifests])
    store.remove([key for one in now for key in one.rest])
    return now


def unmark(store: ArtifactStore, found: Found, usage: Usage) -> list[int]:
    """Remove the marks of versions that are in use, because someone has restored them. Return their numbers."""
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
    with ThreadPoolExecutor(_PARALLEL_READS) as pool:
        found = list(pool.map(lambda number: read_record(store, keys, number), numbers))
    return {number: record for number, record in zip(numbers, found, strict=True) if record is not None}
