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
from trainyard_trainer.cli.upkeep.prune import ReadUsage, find_unused, remove, require_versions, unmark
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
        raise ConfigError(f"--grace-days {options.grace_days} is not a number of days: write 0 or more")
    store = open_location(storage_of(options))
    read_usage, namespace = _usage_reader(options)
    usage = read_usage()
    models = models_in(store, namespace, options.model)
    if not models:
        raise InputMissing(f"{store.address(namespace)} contains no model; give the storage.uri of the jobs")
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
                print(f"{found.keys.base} version {number} is in use again: it is no longer marked as removed")
        removals = remove(store, found, read_usage, before) if options.delete and found.removals else found.removals
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
    checked = f"{models} models checked"
    if not count:
        return f"{checked}: there is nothing to remove"
    amount = f"{objects} objects with {size} bytes ({size_text(size)})"
    if delete:
        return f"{checked}: removed {amount}"
    return f"{checked}: {amount} are not in use; nothing was removed, add --delete to remove them"


def _usage_reader(options: argparse.Namespace) -> tuple[ReadUsage, str]:
    """Return a function that reads the usage, and its namespace."""
    if options.in_use is not None:
        if options.namespace is None:
            raise ConfigError("--in-use needs --namespace, the namespace of the models")
        return lambda: _from_file(Path(options.in_use), options.namespace), options.namespace
    cluster = Cluster.of_pod(os.environ)
    namespace: str = options.namespace or cluster.namespace
    return lambda: Usage.of((one for kind in KINDS for one in cluster.objects(kind, namespace)), namespace), namespace


def _from_file(file: Path, namespace: str) -> Usage:
    found = list(_objects_in(file))
    kinds = {kind.kind for kind in KINDS}
    if not any(one.get("kind") in kinds for one in found):
        raise DataError(
            f"{file} contains no {', '.join(sorted(kinds))}, so the objects in use are unknown; create the "
            f"file with kubectl get mv,tj,md -n {namespace} -o yaml"
        )
    return Usage.of(found, namespace)


def _objects_in(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file of YAML or JSON documents, including those of lists."""
    try:
        text = file.read_text(encoding="utf-8")
        documents = [json.loads(text)] if text.startswith("{") else list(yaml.load_all(text, Loader=_LOADER))
    except OSError as error:
        raise ConfigError(f"--in-use {file} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise DataError(f"--in-use {file} is neither YAML nor JSON: {' '.join(str(error).split())}") from error
    for document in documents:
        if document is None:
            continue
        items = document.get("items", [document]) if isinstance(document, dict) else [document]
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise DataError(
                f"--in-use {file} contains something that is not a Kubernetes object; create the file with kubectl get"
            )
        yield from items
