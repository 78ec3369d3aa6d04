"""The process that Prophet's workers are forked from: when it starts, and what its workers have in memory."""

import subprocess
import sys

import pytest

SPEC = """
from trainyard_api.trainingjob import TrainingJobSpec
spec = TrainingJobSpec.model_validate({
    "framework": "Prophet", "task": "Forecast", "forecast": {"horizon": 7}, "workers": WORKERS,
    "data": {"uri": "s3://a/b", "target": "y", "time": "t", "series": SERIES},
})
"""


def output_of(code, workers=2, series="'product'"):
    program = SPEC.replace("WORKERS", str(workers)).replace("SERIES", series) + code
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("workers", "series", "starts"), [(2, "'product'", "True"), (1, "'product'", "False"), (2, "None", "False")]
)
def test_it_starts_early_for_many_series_without_pandas_in_the_trainer(workers, series, starts):
    code = (
        "import sys\n"
        "from trainyard_trainer.frameworks.registry import start_early\n"
        "start_early(spec)\n"
        "from multiprocessing import forkserver\n"
        "print(forkserver._forkserver._forkserver_pid is not None, 'pandas' in sys.modules)\n"
    )
    assert output_of(code, workers, series) == [starts, "False"]


def test_only_the_trainer_handles_ctrl_c_during_its_imports():
    code = (
        "import os, signal\n"
        # If a shell runs the tests in the background, it starts them with SIGINT ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from multiprocessing import forkserver, get_context\n"
        "from trainyard_trainer.frameworks.registry import start_early\n"
        "start_early(spec)\n"
        "server = forkserver._forkserver._forkserver_pid\n"
        "os.kill(server, signal.SIGINT)\n"
        "with ProcessPoolExecutor(1, mp_context=get_context('forkserver')) as pool:\n"
        "    print(pool.submit(os.getppid).result() == server)\n"
        "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)\n"
    )
    assert output_of(code) == ["True", "True"]


LOADED = """
import os, sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from trainyard_trainer.frameworks.registry import start_early
from trainyard_trainer.frameworks.prophet.server import start

def loaded():
    with ProcessPoolExecutor(1, mp_context=get_context("forkserver")) as pool:
        print(*("x" if pool.submit(eval, f"{name!r} in __import__('sys').modules").result() else "-"
                for name in ("prophet", "optuna", "statsforecast.models")), sep="")
"""


def test_its_workers_have_the_libraries_they_need():
    code = (
        f"{LOADED}\n"
        "start_early(spec); loaded()\n"
        "start(search=False); loaded()\n"
        "start(search=False, intermittent=True); loaded()\n"
    )
    assert output_of(code) == ["x--", "x--", "x-x"]


def test_its_workers_have_optuna_for_a_search():
    assert output_of(f"{LOADED}\nstart(search=True); loaded()\n") == ["xx-"]
