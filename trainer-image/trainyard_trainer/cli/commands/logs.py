"""``logs``: the logs of the pods of a TrainingJob, read from the storage. The pods need not exist any more."""

import argparse
import sys
from typing import Final

from trainyard_api.exit_codes import ExitCode
from trainyard_trainer.artifacts.store import ArtifactStore, Stored
from trainyard_trainer.cli.commands.columns import aligned, size_text
from trainyard_trainer.cli.commands.storage import open_location, storage_of
from trainyard_trainer.errors import InputMissing

_SUFFIX: Final = ".jsonl"
_RUN_PARTS: Final = ("runs", "backtests", "datasets")


def logs(options: argparse.Namespace) -> int:
    """Print the logs of all pods of a job, in the order in which the pods started. With ``--list``, print their names.

    Raises
    ------
    TrainerError
        If there are none, or the storage rejects a request or is unavailable.
    """
    storage = storage_of(options)
    location, folder, name = _folder_of(storage.uri)
    store = open_location(storage.model_copy(update={"uri": location}))
    found = sorted((each for each in store.walk(folder) if _is_wanted(each, folder, name)), key=lambda each: each.key)
    if not found:
        raise InputMissing(
            f"{store.address(folder)} contains no log{f' {name}' if name else ''}: give status.result.log of "
            "a TrainingJob, or the address of its run; jobs of older releases have no log"
        )
    if options.list:
        rows = [
            (f"{one.modified:%Y-%m-%dT%H:%M:%SZ}", size_text(one.size), one.key.rpartition("/")[2]) for one in found
        ]
        print(aligned([("WRITTEN", "SIZE", "LOG"), *rows]), end="")
    else:
        for one in found:
            _print(store, one)
    return ExitCode.OK


def _print(store: ArtifactStore, one: Stored) -> None:
    body = store.get(one.key)
    if body is None:
        raise InputMissing(f"{store.address(one.key)} was removed while it was read; run the command again")
    sys.stdout.buffer.write(body)
    sys.stdout.buffer.flush()


def _is_wanted(each: Stored, folder: str, name: str) -> bool:
    own = each.key.removeprefix(f"{folder}/")
    return "/" not in own and own.endswith(_SUFFIX) and name in {"", own}


def _folder_of(uri: str) -> tuple[str, str, str]:
    """Return the address of a model's folder, the folder of a job's logs below it, and the name of one file or ``""``.

    ``uri`` is the address of the logs, of one of them, or of a run of the same job.
    """
    parts = uri.rstrip("/").split("/")
    name = parts.pop() if parts[-1].endswith(_SUFFIX) else ""
    for part in ("logs", *_RUN_PARTS):
        for back in (2, 3):
            if len(parts) > back and parts[-back] == part:
                return "/".join(parts[:-back]), f"logs/{parts[-back + 1]}", name
    raise InputMissing(
        f"{uri} is not the address of logs: give status.result.log of a TrainingJob (it ends with "
        "/logs/<uid>), or the address of a run"
    )
