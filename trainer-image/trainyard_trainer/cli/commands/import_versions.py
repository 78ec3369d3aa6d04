"""``import``: the ModelVersions of a storage as YAML, for a cluster that has lost them."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, TextIO

import yaml

from trainyard_api.exit_codes import ExitCode
from trainyard_trainer.artifacts.layout import ModelKeys
from trainyard_trainer.artifacts.store import ArtifactStore
from trainyard_trainer.cli.commands.columns import aligned
from trainyard_trainer.cli.commands.storage import open_location, seen_from_cluster, storage_of
from trainyard_trainer.cli.upkeep.models import models_in
from trainyard_trainer.cli.upkeep.rebuild import RebuildOptions, Rebuilt, left_over, rebuild
from trainyard_trainer.errors import ConfigError, InputMissing

_DUMPER: Final[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""For thousands of objects, the C library takes seconds and the Python one takes minutes."""


def import_versions(options: argparse.Namespace) -> int:
    """Write the versions that can be rebuilt, and report why others cannot. Return the exit code.

    Raises
    ------
    TrainerError
        If nothing can be read, or the storage has no versions.
    """
    location = storage_of(options)
    store = open_location(location)
    rebuild_options = RebuildOptions(
        storage=location if options.list else seen_from_cluster(location, options.seen, options.secret),
        is_moved=options.seen is not None or options.secret is not None,
        without_gates=options.without_gates or options.list,
        check_files=options.check_files,
    )
    models = models_in(store, options.namespace, options.model)
    if not models:
        raise InputMissing(f"{store.address('')} contains no model{_of(options)}; give the storage.uri of the jobs")
    states: Counter[str] = Counter()
    rebuilt = _noted(rebuild(store, models, rebuild_options), states)
    if options.list:
        print(_listed(rebuilt), end="")
    else:
        _write(rebuilt, options.output)
    runs = _report_left_over(store, models)
    print(_summary(states, len(models), runs), file=sys.stderr)
    if not states:
        return ExitCode.INPUT_MISSING
    return ExitCode.BAD_DATA if states["Broken"] else ExitCode.OK


def _of(options: argparse.Namespace) -> str:
    name = f" {options.model}" if options.model else ""
    return name + (f" of namespace {options.namespace}" if options.namespace else "")


def _noted(rebuilt: Iterator[Rebuilt], states: Counter[str]) -> Iterator[Rebuilt]:
    """Yield each result, count it, and report why a version cannot be rebuilt."""
    for one in rebuilt:
        states[one.state] += 1
        if one.state != "Good":
            print(f"{one.keys.base} version {one.number}: {one.message}", file=sys.stderr)
        yield one


def _write(rebuilt: Iterator[Rebuilt], output: str | None) -> None:
    bodies = (one.body for one in rebuilt if one.body is not None)
    if output is None:
        _dump(bodies, sys.stdout)
        return
    try:
        with open(output, "w", encoding="utf-8") as stream:  # noqa: PTH123 - also /dev/stdout and the like
            _dump(bodies, stream)
    except OSError as error:
        raise ConfigError(f"--output {output} cannot be written: {error.strerror}") from error


def _dump(bodies: Iterator[dict[str, Any]], stream: TextIO) -> None:
    for body in bodies:
        yaml.dump(body, stream, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, explicit_start=True)


def _listed(rebuilt: Iterator[Rebuilt]) -> str:
    rows = [(one.keys.namespace, one.keys.model, str(one.number), one.state, *_facts(one)) for one in rebuilt]
    return aligned([("NAMESPACE", "MODEL", "VERSION", "STATE", "OBJECTIVE", "JOB", "LABEL"), *rows])


def _facts(one: Rebuilt) -> tuple[str, str, str]:
    spec = one.body["spec"] if one.body is not None else {}
    return spec.get("objectiveValue", ""), spec.get("trainingJob", {}).get("name", ""), spec.get("label", "")


def _report_left_over(store: ArtifactStore, models: list[ModelKeys]) -> int:
    count = 0
    for keys in models:
        for message in left_over(store, keys):
            print(message, file=sys.stderr)
            count += 1
    return count


def _summary(states: Counter[str], models: int, runs: int) -> str:
    counts = [
        f"{states['Good']} versions of {models} models",
        f"{states['Broken']} could not be rebuilt",
        f"{states['Removed']} were removed",
        f"{states['Reserved']} numbers have no version yet",
        f"{runs} jobs have runs but no version",
    ]
    return "; ".join([counts[0], *(text for text in counts[1:] if not text.startswith("0 "))])
