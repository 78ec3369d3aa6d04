"""The profile of the version that serves, from its run in the store, verified before it is read."""

from pathlib import Path
from typing import Final

from trainyard_api.training import Storage
from trainyard_api.wire import ChampionRef
from trainyard_trainer.artifacts.layout import MANIFEST
from trainyard_trainer.artifacts.manifest import fetch_file, parse_manifest, sha256_of
from trainyard_trainer.artifacts.store import open_store
from trainyard_trainer.environment import Environment
from trainyard_trainer.errors import DataError, InputMissing
from trainyard_trainer.profile.model import MAX_BYTES, PROFILE, Profile, parse_profile

_LARGEST: Final = 4 * MAX_BYTES
"""A larger file is no profile: nobody reads it into memory."""


def champion_profile(champion: ChampionRef, storage: Storage, env: Environment, folder: Path) -> Profile | None:
    """Fetch the profile of a version.

    Parameters
    ----------
    storage
        That of the job: server, region and credentials hold for the champion's address too.
    folder
        An own one, for what is downloaded.

    Returns
    -------
    ``None`` of a version that was registered without a profile.

    Raises
    ------
    DataError
        If manifest or profile are not those that were registered, or cannot be read.
    TrainerError
        Whatever else the storage refuses with.
    """
    base, _, run = champion.artifact.uri.rstrip("/").rpartition("/")
    store = open_store(storage.model_copy(update={"uri": base}), env)
    address = store.address(f"{run}/{MANIFEST}")
    body = store.get(f"{run}/{MANIFEST}")
    if body is None:
        raise InputMissing(f"{address} is gone")
    if sha256_of(body) != champion.artifact.manifest_sha256:
        raise DataError(f"{address} is not what version {champion.version} was registered with, it was changed since")
    manifest = parse_manifest(body, address)
    entry = next((entry for entry in manifest.files if entry.path == PROFILE), None)
    if entry is None:
        return None
    if entry.size > _LARGEST:
        raise DataError(f"{store.address(f'{run}/{PROFILE}')} has {entry.size} bytes: that is no profile")
    path = fetch_file(store, run, entry, folder)
    return parse_profile(path.read_bytes(), store.address(f"{run}/{PROFILE}"))
