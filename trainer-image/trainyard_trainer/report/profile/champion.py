"""The profile of the version that is served, read from its run in the store and verified."""

from pathlib import Path
from typing import Final

from trainyard_api.training import Storage
from trainyard_api.wire import ChampionRef
from trainyard_trainer.artifacts.manifest import fetch_file
from trainyard_trainer.artifacts.stored_run import open_run
from trainyard_trainer.environment import Environment
from trainyard_trainer.errors import DataError
from trainyard_trainer.report.profile.model import MAX_BYTES, PROFILE, Profile, parse_profile

_LARGEST: Final = 4 * MAX_BYTES
"""A larger file is not a profile, and is not read into memory."""


def champion_profile(champion: ChampionRef, storage: Storage, env: Environment, folder: Path) -> Profile | None:
    """Fetch the profile of a version.

    Parameters
    ----------
    storage
        The storage of the job. Its server, region and credentials also apply to the address of the champion.
    folder
        A separate folder for downloads.

    Returns
    -------
    The profile, or ``None`` for a version without a profile.

    Raises
    ------
    DataError
        If manifest or profile differ from the registered ones, or cannot be read.
    TrainerError
        For any other error of the storage.
    """
    run = open_run(champion.artifact, storage, env)
    address = run.store.address(f"{run.folder}/{PROFILE}")
    entry = next((entry for entry in run.manifest.files if entry.path == PROFILE), None)
    if entry is None:
        return None
    if entry.size > _LARGEST:
        raise DataError(f"{address} has {entry.size} bytes, which is too large for a profile")
    path = fetch_file(run.store, run.folder, entry, folder)
    return parse_profile(path.read_bytes(), address)
