"""What a cluster uses of a storage, read from its raw objects, so that objects of a newer release also work."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from trainyard_api.batch import TERMINAL_PHASES
from trainyard_api.kinds import MODEL_DEPLOYMENT, MODEL_VERSION, TRAINING_JOB, KindDefinition
from trainyard_trainer.errors import DataError

KINDS: Final[tuple[KindDefinition, ...]] = (TRAINING_JOB, MODEL_VERSION, MODEL_DEPLOYMENT)
"""The kinds that refer to objects in a storage, in the order in which they are listed.

If a job is finished when the jobs are listed, its ModelVersion exists already. So the later list contains it.
"""

_FINISHED: Final[frozenset[str]] = frozenset(TERMINAL_PHASES)
"""The final phases. A phase that this release does not know is not final, so its job keeps all of its objects."""

_FOLDER_PARTS: Final = 5
"""Number of parts in ``<namespace>/<model>/runs/<uid>/<attempt>``, the end of the address of a run in any storage."""


@dataclass
class Usage:
    """What the objects of one namespace use.

    Attributes
    ----------
    folders
        Keys of runs and backtests that an object names.
    versions
        Models and version numbers of a ModelVersion, or that a ModelDeployment serves.
    working
        UIDs of the jobs that have not finished. All of their objects are used.
    jobs
        UIDs of all jobs that exist.
    registered
        Number of ModelVersions.
    """

    folders: set[str] = field(default_factory=set)
    versions: set[tuple[str, int]] = field(default_factory=set)
    working: set[str] = field(default_factory=set)
    jobs: set[str] = field(default_factory=set)
    registered: int = 0

    @classmethod
    def of(cls, objects: Iterable[Mapping[str, Any]], namespace: str) -> Self:
        """Read the objects of a namespace; others are ignored.

        Raises
        ------
        DataError
            If an object does not show what it uses.
        """
        usage = cls()
        for one in objects:
            metadata = one.get("metadata") or {}
            if metadata.get("namespace") != namespace:
                continue
            match one.get("kind"):
                case MODEL_VERSION.kind:
                    usage._note_version(str(metadata.get("name")), one.get("spec") or {})
                case TRAINING_JOB.kind:
                    usage._note_job(metadata, one.get("status") or {})
                case MODEL_DEPLOYMENT.kind:
                    usage._note_deployment(one.get("spec") or {}, one.get("status") or {})
                case _:
                    continue
        return usage

    def _note_version(self, name: str, spec: Mapping[str, Any]) -> None:
        uri = (spec.get("artifact") or {}).get("uri")
        model, number = spec.get("model"), spec.get("version")
        if not isinstance(uri, str) or not isinstance(model, str) or not isinstance(number, int):
            raise DataError(
                f"ModelVersion {name} does not say which artifact it has, so nothing is removed; correct its "
                "spec.artifact, spec.model and spec.version"
            )
        self.registered += 1
        self.folders.add(_folder_of(uri))
        self.versions.add((model, number))

    def _note_job(self, metadata: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        uid = str(metadata.get("uid") or "")
        if not uid:
            raise DataError(f"TrainingJob {metadata.get('name')} has no uid; export it with kubectl get -o yaml")
        self.jobs.add(uid)
        if status.get("phase") not in _FINISHED:
            self.working.add(uid)

    def _note_deployment(self, spec: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        model = str(spec.get("modelName"))
        numbers = [status.get(f"{which}Version") for which in ("active", "previous", "candidate")]
        pin = str((spec.get("version") or {}).get("pin") or "")
        numbers.append(int(pin) if pin.isdecimal() else None)
        self.versions.update((model, number) for number in numbers if isinstance(number, int))


_NAMED: Final = {
    "metadata": ("name", "namespace", "uid"),
    "spec": ("artifact", "model", "modelName", "version"),
    "status": ("activeVersion", "candidateVersion", "phase", "previousVersion"),
}


def slim(one: Mapping[str, Any]) -> dict[str, Any]:
    """Return only the fields that :meth:`Usage.of` reads, because ten thousand complete objects take 1 GB."""
    parts = {part: one.get(part) or {} for part in _NAMED}
    return {part: {name: has[name] for name in _NAMED[part] if name in has} for part, has in parts.items()}


def _folder_of(uri: str) -> str:
    return "/".join(uri.rstrip("/").split("/")[-_FOLDER_PARTS:])
