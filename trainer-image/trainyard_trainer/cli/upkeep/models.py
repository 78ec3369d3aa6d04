"""Find the models in a storage. Other objects in the storage are ignored."""

from typing import Final

from pydantic import TypeAdapter, ValidationError

from trainyard_api.base import DnsLabel
from trainyard_trainer.artifacts.layout import ModelKeys
from trainyard_trainer.artifacts.store import ArtifactStore

_LABEL: Final[TypeAdapter[str]] = TypeAdapter(DnsLabel)
_FOLDERS: Final = frozenset({"runs", "versions", "by-run", "datasets", "backtests", "logs"})


def models_in(store: ArtifactStore, namespace: str | None = None, model: str | None = None) -> list[ModelKeys]:
    """Return the models of a storage, sorted, optionally of one namespace or one name.

    If a namespace is given, only its folder is listed. So credentials for this folder are sufficient.

    Raises
    ------
    TrainerError
        If the storage rejects a request or is unavailable.
    """
    spaces = [namespace] if namespace is not None else _labels(store.children(""))
    names = {space: [model] if model is not None else _labels(store.children(space)) for space in spaces}
    every = [ModelKeys(space, name) for space, found in names.items() for name in found]
    return [keys for keys in every if not _FOLDERS.isdisjoint(store.children(keys.base))]


def _labels(names: list[str]) -> list[str]:
    return [name for name in names if _is_label(name)]


def _is_label(name: str) -> bool:
    try:
        _LABEL.validate_python(name)
    except ValidationError:
        return False
    return True
