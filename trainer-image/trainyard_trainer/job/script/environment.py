"""The environment of a script: a few harmless variables and the job's ``spec.env``, without others of the trainer."""

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
"""An allowlist, so that variables of later trainer releases or of a cloud's webhook are not passed on."""

_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def environment_of(spec: TrainingJobSpec, environ: Mapping[str, str], *, home: Path, config: Path) -> dict[str, str]:
    """Return the variables of a script.

    Parameters
    ----------
    environ
        The variables of the trainer. They include the values that ``spec.env`` takes from Secrets and ConfigMaps, set
        by the kubelet.
    home
        A folder of the script, also for its temporary files.
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
    """Return ``spec.env``. A literal value comes first, because in a local run nothing resolves references."""
    found: dict[str, str] = {}
    for variable in spec.env or ():
        plain = variable.value if variable.value is not None and "$(" not in variable.value else None
        value = plain if plain is not None else environ.get(variable.name, variable.value)
        if value is not None:
            found[variable.name] = value
    return found
