"""Folders from variables, and the number of processors from cgroups of both versions."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainyard_api import meta
from trainyard_trainer.environment import THREAD_VARIABLES, Environment, cpu_quota, limit_threads, worker_count

AFFINITY = len(os.sched_getaffinity(0))


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_defaults_are_those_of_a_pod() -> None:
    env = Environment.from_environ({})
    assert env.config_file == Path("/var/run/trainyard/config.json")
    assert env.termination_log == Path("/dev/termination-log")


def test_every_folder_can_be_moved() -> None:
    env = Environment.from_environ({meta.CONFIG_DIR_ENV: "/c", meta.CLAIMS_DIR_ENV: "/m", meta.WORK_DIR_ENV: ""})
    assert env.token_file == Path("/c/token")
    assert env.claim_path("pvc://data/a/b.csv") == Path("/m/data/a/b.csv")
    assert env.work_dir == Path(meta.WORK_DIR)


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 0.5),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, AFFINITY),
        (
            {
                "proc/self/cgroup": "0::/kubepods/pod1\n",
                "sys/fs/cgroup/kubepods/cpu.max": "25000 100000\n",
                "sys/fs/cgroup/kubepods/pod1/cpu.max": "max 100000\n",
            },
            0.25,
        ),
        (
            {
                "proc/self/cgroup": "9:memory:/x\n4:cpu,cpuacct:/not/mounted/here\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "75000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            0.75,
        ),
        (
            {
                "proc/self/cgroup": "4:cpuacct,cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            AFFINITY,
        ),
        ({}, AFFINITY),
    ],
)
def test_the_lowest_quota_counts(tmp_path: Path, files: dict[str, str], quota: float) -> None:
    assert cpu_quota(write(tmp_path, **files)) == quota


def test_workers() -> None:
    assert worker_count(3) == 3
    assert 1 <= worker_count(0) <= AFFINITY


def test_libraries_use_as_many_threads_as_the_quota_has_processors() -> None:
    environ = {"OMP_NUM_THREADS": "7"}
    limit_threads(environ, 2)
    assert environ == {"OMP_NUM_THREADS": "7", **dict.fromkeys(THREAD_VARIABLES[1:], "2")}


def test_arrow_uses_the_same_number_of_threads() -> None:
    code = (
        "import os, trainyard_trainer.environment as e; e.limit_threads(os.environ, 3); "
        "import pyarrow; print(pyarrow.cpu_count())"
    )
    clean = {name: value for name, value in os.environ.items() if name not in THREAD_VARIABLES}
    done = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "3"
