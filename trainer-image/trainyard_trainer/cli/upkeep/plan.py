"""Decide which objects of one model can be removed, from a listing and the usage.

This module reads and changes nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from trainyard_trainer.artifacts.backtests import BacktestKeys
from trainyard_trainer.artifacts.folder import TEMPORARY
from trainyard_trainer.artifacts.layout import MANIFEST, ModelKeys
from trainyard_trainer.artifacts.store import Stored
from trainyard_trainer.artifacts.versions import VersionRecord
from trainyard_trainer.cli.upkeep.usage import Usage

What = Literal["version", "run", "checkpoints", "backtest", "log", "index", "incomplete file"]

_PARTS: Final = ("runs", "backtests", "logs", "by-run")


@dataclass(frozen=True)
class Removal:
    """Some objects that are removed together.

    ``number`` is the version that loses its files. The number stays claimed.
    """

    what: What
    folder: str
    objects: tuple[Stored, ...]
    number: int | None = None

    @property
    def size(self) -> int:
        """Total size in bytes."""
        return sum(each.size for each in self.objects)

    @property
    def newest(self) -> datetime:
        """When the newest object was written."""
        return max(each.modified for each in self.objects)

    @property
    def manifests(self) -> list[str]:
        """The keys of manifests. They are removed first."""
        return [each.key for each in self.objects if each.key == f"{self.folder}/{MANIFEST}"]

    @property
    def rest(self) -> list[str]:
        """The keys of all other objects."""
        return [each.key for each in self.objects if each.key != f"{self.folder}/{MANIFEST}"]


def plan(
    keys: ModelKeys,
    objects: Iterable[Stored],
    claims: Mapping[int, VersionRecord],
    usage: Usage,
    before: datetime,
) -> list[Removal]:
    """Return the unused objects by kind: versions, runs, checkpoints, backtests, logs, indexes, incomplete files.

    All objects of a job are kept while it runs. They are also kept if one of them was written after ``before``.

    Parameters
    ----------
    objects
        All objects of the model.
    claims
        The claims of all version numbers. They must be complete, because a run without a claim counts as unused.
    """
    found = list(objects)
    torn = [each for each in found if _name(each).startswith(TEMPORARY) and each.modified < before]
    by_job: dict[str, list[Stored]] = defaultdict(list)
    for each in found:
        if (uid := _job_of(keys, each.key)) is not None and not _name(each).startswith(TEMPORARY):
            by_job[uid].append(each)
    numbers = {claim.run: number for number, claim in claims.items()}
    used = usage.folders | {claim.run for number, claim in claims.items() if (keys.model, number) in usage.versions}
    removals = [
        removal
        for uid, own in by_job.items()
        if uid not in usage.working and max(each.modified for each in own) < before
        for removal in _of_job(keys, uid, own, numbers, used, exists=uid in usage.jobs)
    ]
    removals += [Removal("incomplete file", each.key, (each,)) for each in torn]
    return sorted(removals, key=lambda one: (_ORDER.index(one.what), one.folder))


_ORDER: Final[tuple[What, ...]] = ("version", "run", "checkpoints", "backtest", "log", "index", "incomplete file")


def since(now: datetime, days: float) -> datetime:
    """Return the cutoff time. Jobs with a newer object are not considered."""
    return now - timedelta(days=days)


def _of_job(
    keys: ModelKeys, uid: str, own: list[Stored], numbers: Mapping[str, int], used: set[str], *, exists: bool
) -> list[Removal]:
    """Return the unused objects of one job. Its logs and its index are only removed if nothing else of it is left."""
    folders: dict[str, list[Stored]] = defaultdict(list)
    for each in own:
        folders[_folder_of(keys, uid, each.key)].append(each)
    is_kept = exists or not used.isdisjoint(folders)
    removals = []
    for folder, inside in folders.items():
        what = _what(keys, uid, folder)
        may_stay = {"version": folder in used, "backtest": is_kept, "log": is_kept, "index": is_kept}
        if may_stay.get(what, False):
            continue
        number = numbers.get(folder) if what == "version" else None
        what = "run" if what == "version" and number is None else what
        removals.append(Removal(what, folder, tuple(inside), number))
    return removals


def _what(keys: ModelKeys, uid: str, folder: str) -> What:
    """Return the kind of a folder of a job. Every run counts as a version here."""
    if folder == keys.checkpoints(uid):
        return "checkpoints"
    if folder == keys.logs(uid):
        return "log"
    if folder == _index(keys, uid):
        return "index"
    return "version" if folder.startswith(f"{keys.runs(uid)}/") else "backtest"


def _index(keys: ModelKeys, uid: str) -> str:
    return f"{keys.base}/by-run/{uid}"


def _job_of(keys: ModelKeys, key: str) -> str | None:
    """Return the UID of the job that owns an object. ``None`` for claims, datasets, and objects of others."""
    part, _, rest = key.removeprefix(f"{keys.base}/").partition("/")
    if part not in _PARTS or not rest:
        return None
    name = rest.split("/", 1)[0]
    return name.partition(".")[0] if part == "by-run" else name


def _folder_of(keys: ModelKeys, uid: str, key: str) -> str:
    """Return the group of an object: one run, one backtest, all checkpoints, all logs, or the whole index."""
    if key.startswith(f"{keys.base}/by-run/"):
        return _index(keys, uid)
    if key.startswith(f"{keys.logs(uid)}/"):
        return keys.logs(uid)
    top = keys.runs(uid) if key.startswith(f"{keys.runs(uid)}/") else BacktestKeys(keys.namespace, keys.model).runs(uid)
    return f"{top}/{key.removeprefix(f'{top}/').split('/', 1)[0]}"


def _name(each: Stored) -> str:
    return each.key.rpartition("/")[2]
