"""The user's file: from the specification, a ConfigMap, or any address that data can have."""

from pathlib import Path
from typing import Final

from trainyard_api.pod import KeyRef
from trainyard_api.training import Script
from trainyard_trainer.data.sources.addresses import Address
from trainyard_trainer.data.sources.files import GoOn, Ways, bring
from trainyard_trainer.environment import Environment
from trainyard_trainer.errors import ConfigError, InputMissing

FILE: Final = "script.py"
"""Its name in the run and while it runs. The name is fixed, so that it does not hide a module."""

MAX_BYTES: Final = 1 << 20


def fetch_script(script: Script, ways: Ways, folder: Path, go_on: GoOn) -> Path:
    """Write the user's file into ``folder`` and return its path.

    Raises
    ------
    InputMissing
        The key or the file does not exist.
    ConfigError
        The address matches several files, or the file is larger than the limit of a script.
    TrainerError
        Any error of :func:`trainyard_trainer.data.sources.files.fetch`.
    """
    target = folder / FILE
    if script.inline is not None:
        target.write_text(script.inline, encoding="utf-8")
    elif script.config_map_ref is not None:
        target.write_bytes(_from_config_map(script.config_map_ref, ways.env))
    else:
        target.write_bytes(_from_address(Address(script.uri or "", "script.uri"), ways, folder, go_on))
    return target


def _from_config_map(reference: KeyRef, env: Environment) -> bytes:
    file = env.script_dir / reference.key
    try:
        return file.read_bytes()
    except FileNotFoundError as error:
        raise InputMissing(
            f"script.configMapRef: key {reference.key!r} of ConfigMap {reference.name!r} does not exist "
            f"({file}); create it, or in a local run give the file in script.uri"
        ) from error


def _from_address(address: Address, ways: Ways, folder: Path, go_on: GoOn) -> bytes:
    if address.is_pattern:
        raise ConfigError(f"{address} contains a '*'; a script is one file, give its address")
    copies = folder / "fetched"
    copies.mkdir()
    (file,) = bring(address, ways, copies, go_on).files
    if file.size_bytes > MAX_BYTES:
        raise ConfigError(
            f"{address} has {file.size_bytes} bytes, but a script can have at most {MAX_BYTES}; provide "
            "large content as data"
        )
    body = file.path.read_bytes()
    for copy in copies.iterdir():
        copy.unlink()
    copies.rmdir()
    return body
