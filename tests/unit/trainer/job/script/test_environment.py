"""The environment variables of a script."""

from pathlib import Path
from typing import Any

from tests.unit.trainer.job.mean import spec
from trainyard_trainer.job.script.environment import environment_of

TRAINERS = {
    "PATH": "/bin",
    "TZ": "Europe/Paris",
    "HOME": "/root",
    "AWS_ACCESS_KEY_ID": "hush",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/secrets/token",
    "TRAINYARD_STORAGE_SECRET_DIR": "/var/run/secrets/trainyard/storage",
    "KUBEFLOW_TRAINER_SERVER_TOKEN": "/var/run/trainyard/token",
}


def environment(environ: dict[str, str] | None = None, **changes: Any) -> dict[str, str]:
    return environment_of(spec(**changes), {**TRAINERS, **(environ or {})}, home=Path("/h"), config=Path("/c.json"))


def test_default_variables() -> None:
    found = environment(workers=2)
    assert {found.pop(name) for name in list(found) if name.endswith("_NUM_THREADS")} == {"2"}
    assert {found.pop(name) for name in list(found) if name.startswith("PYTHON")} == {"1", "utf-8:backslashreplace"}
    assert found == {"PATH": "/bin", "TZ": "Europe/Paris", "HOME": "/h", "TMPDIR": "/h", "TRAINYARD_CONFIG": "/c.json"}


def test_variables_of_the_spec() -> None:
    """In a pod, the kubelet resolves references. In a local run, only literal values are known."""
    secret = {"valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    env = [
        {"name": "AWS_ACCESS_KEY_ID", **secret},
        {"name": "NOT_RESOLVED", **secret},
        {"name": "PLAIN", "value": "yaml"},
        {"name": "EXPANDED", "value": "$(HOST)/x"},
        {"name": "HOME", "value": "/data"},
        {"name": "OMP_NUM_THREADS", "value": "7"},
    ]
    found = environment({"PLAIN": "of the shell", "EXPANDED": "here/x"}, env=env)
    assert (found["AWS_ACCESS_KEY_ID"], found["PLAIN"], found["EXPANDED"]) == ("hush", "yaml", "here/x")
    assert (found["HOME"], found["OMP_NUM_THREADS"]) == ("/data", "7")
    assert "NOT_RESOLVED" not in found
