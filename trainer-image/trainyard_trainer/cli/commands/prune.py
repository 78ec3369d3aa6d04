"""``prune``: show the unused objects of a storage, and remove them with ``--delete``."""

import argparse
import json
import math
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml

from trainyard_api.exit_codes import ExitCode
from trainyard_trainer.cli.commands.columns import aligned, size_text
from trainyard_trainer.cli.commands.storage import open_location, storage_of
from trainyard_trainer.cli.upkeep.cluster import Cluster
from trainyard_trainer.cli.upkeep.models import models_in
from trainyard_trainer.cli.upkeep.plan import Removal, since
from trainyard_trainer.cli.upkeep.prune import Learn, find_unused, remove, require_versions, unmark
from trainyard_trainer.cli.upkeep.usage import KINDS, Usage
from trainyard_trainer.errors import ConfigError, DataError, InputMissing

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def prune(options: argparse.Namespace) -> int:
    """Show or remove unused objects, and return the exit code.

    Raises
    ------
    TrainerError
        If the storage rejects a request or is unavailable, or usage cannot be read.
    """
    if not (math.isfinite(options.grace_days) and options.grace_days >= 0):
        raise ConfigError(f"--grace-days {options.grace_days} is no number of days: write 0 or more")
    store = open_location(storage_of(options))
    learn, namespace = _learner(options)
    usage = learn()
    models = models_in(store, namespace, options.model)
    if not models:
        raise InputMissing(f"{store.address(namespace)} holds no model; name the storage.uri of the jobs")
    if not options.no_version_in_use:
        require_versions(store, models, usage, namespace)
    before = since(datetime.now(UTC), options.grace_days)
    count = size = objects = faults = 0
    for found in find_unused(store, models, usage, before):
        if found.fault:
            print(found.fault, file=sys.stderr)
            faults += 1
            continue
        if options.delete:
            for number in unmark(store, found, usage):
                print(f"{found.keys.base} version {number} is in use again: its mark of removal is taken back")
        removals = remove(store, found, learn, before) if options.delete and found.removals else found.removals
        print(aligned(_row(found.keys.base, one) for one in removals), end="", flush=True)
        count += len(removals)
        size += sum(one.size for one in removals)
        objects += sum(len(one.objects) for one in removals)
    print(_summary(count, objects, size, len(models), delete=options.delete))
    return ExitCode.BAD_DATA if faults else ExitCode.OK


def _row(base: str, one: Removal) -> tuple[str, ...]:
    what = one.what if one.number is None else f"{one.what} {one.number}"
    return base, what, size_text(one.size), f"{one.newest:%Y-%m-%d}", one.folder.removeprefix(f"{base}/")


def _summary(count: int, objects: int, size: int, models: int, *, delete: bool) -> str:
    looked = f"{models} models looked at"
    if not count:
        return f"{looked}: there is nothing to remove"
    amount = f"{objects} objects with {size} bytes ({size_text(size)})"
    if delete:
        return f"{looked}: removed {amount}"
    return f"{looked}: {amount} are not in use; nothing was removed, add --delete to remove them"


def _learner(options: argparse.Namespace) -> tuple[Learn, str]:
    """Return a function that reads the usage, and its namespace."""
    if options.in_use is not None:
        if options.namespace is None:
            raise ConfigError("--in-use needs --namespace: whose models are looked at")
        return lambda: _from_file(Path(options.in_use), options.namespace), options.namespace
    cluster = Cluster.of_pod(os.environ)
    namespace: str = options.namespace or cluster.namespace
    return lambda: Usage.of((one for kind in KINDS for one in cluster.objects(kind, namespace)), namespace), namespace


def _from_file(file: Path, namespace: str) -> Usage:
    things = list(_things(file))
    kinds = {kind.kind for kind in KINDS}
    if not any(thing.get("kind") in kinds for thing in things):
        raise DataError(
            f"{file} holds none of {', '.join(sorted(kinds))}: what is in use is not known; make it with "
            f"kubectl get mv,tj,md -n {namespace} -o yaml"
        )
    return Usage.of(things, namespace)


def _things(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file of YAML or JSON documents, including those of lists."""
    try:
        text = file.read_text(encoding="utf-8")
        documents = [json.loads(text)] if text.startswith("{") else list(yaml.load_all(text, Loader=_LOADER))
    except OSError as error:
        raise ConfigError(f"--in-use {file} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise DataError(f"--in-use {file} is no YAML and no JSON: {' '.join(str(error).split())}") from error
    for document in documents:
        if document is None:
            continue
        items = document.get("items", [document]) if isinstance(document, dict) else [document]
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise DataError(f"--in-use {file} holds something that is no Kubernetes object; make it with kubectl get")
        yield from items
