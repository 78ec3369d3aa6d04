"""The environment of a script: some harmless variables and the job's own ``spec.env``, no other of the trainer's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from trainyard_api import meta
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_trainer.environment import worker_count

_KEPT: Final = (
    "CUDA_VISIBLE_DEVICES",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LD_LIBRARY_PATH",
    "NVIDIA_DRIVER_CAPABILITIES",
    "NVIDIA_VISIBLE_DEVICES",
    "PATH",
    "TZ",
)
"""An allow-list: what a later release of the trainer, or a cloud's webhook, puts into the pod stays out."""

_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def environment_of(spec: TrainingJobSpec, environ: Mapping[str, str], *, home: Path, config: Path) -> dict[str, str]:
    """Return the variables of a script.

    Parameters
    ----------
    environ
        Those of the trainer: there the kubelet has put what ``spec.env`` takes from Secrets and ConfigMaps.
    home
        A folder of its own, where its temporary files go, too.
    config
        The path of its ``config.json``.
    """
    threads = dict.fromkeys(_THREADS, str(worker_count(spec.workers)))
    own = {
        "HOME": str(home),
        "TMPDIR": str(home),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONIOENCODING": "utf-8:backslashreplace",
        "PYTHONUNBUFFERED": "1",
        meta.CONTAINER_CONFIG_ENV: str(config),
    }
    return {**{name: environ[name] for name in _KEPT if name in environ}, **threads, **own, **_requested(spec, environ)}


def _requested(spec: TrainingJobSpec, environ: Mapping[str, str]) -> dict[str, str]:
    """Return ``spec.env``; in a local run nobody has resolved it, so what stands there as it is comes first."""
    found: dict[str, str] = {}
    for variable in spec.env or ():
        plain = variable.value if variable.value is not None and "$(" not in variable.value else None
        value = plain if plain is not None else environ.get(variable.name, variable.value)
        if value is not None:
            found[variable.name] = value
    return found
