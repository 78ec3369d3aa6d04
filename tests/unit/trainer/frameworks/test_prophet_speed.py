"""Faster fits of Prophet have the same results: each shortcut is compared with plain Prophet."""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import stanio

from trainyard_trainer.data.values.frequency import frequency_of
from trainyard_trainer.frameworks.prophet.choice import fit_series
from trainyard_trainer.frameworks.prophet.series import (
    FilesWritten,
    FitSpec,
    Task,
    fit,
    prophet_record,
    quiet_prophet,
    seasonalities,
)
from trainyard_trainer.frameworks.workers.pool import fit_all

DAYS = pd.date_range("2024-01-01", periods=200)
DEMANDS = ("High", "Medium", "Low", "High", "High", "Low")


def values(seed):
    return (
        20 + 5 * np.sin(np.arange(len(DAYS)) * 2 * np.pi / 7) + np.random.default_rng(seed).standard_normal(len(DAYS))
    )


def tasks(folder, demands=DEMANDS):
    fit_spec = FitSpec("D", {}, None, 1, str(folder), horizon=7, folds=1)
    return [
        Task(f"series {number}", DAYS.to_numpy(), values(number), 7, 2, fit_spec, demand=demand)
        for number, demand in enumerate(demands)
    ]


def reported(outcomes):
    return [(one.name, one.kind, one.record, one.forecast.tolist(), one.golden.tolist()) for one in outcomes]


@pytest.mark.parametrize("demands", [DEMANDS, DEMANDS[:1], DEMANDS[:3]], ids=len)
def test_two_workers_give_the_same_results_as_one(tmp_path, demands):
    one = reported(fit_all(fit_series, tasks(tmp_path, demands), 1, lambda: False, tmp_path))
    assert reported(fit_all(fit_series, tasks(tmp_path, demands), 2, lambda: False, tmp_path)) == one
    assert [name for name, *_ in one] == [f"series {number}" for number in range(len(demands))]


def test_a_fit_is_equal_to_that_of_plain_prophet(tmp_path):
    task = tasks(tmp_path)[0]
    bare = quiet_prophet().Prophet(uncertainty_samples=0, **seasonalities(199, frequency_of("D")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bare.fit(pd.DataFrame({"ds": DAYS, "y": task.values}), seed=1)
    fitted = fit(task, slice(None), frequency_of("D"), {})
    assert prophet_record(fitted, None)["model"] == quiet_prophet().serialize.model_to_json(bare)


def test_cmdstan_reads_the_same_bytes(tmp_path):
    received = {}

    class Backend:
        def optimize(self, *, data, inits, **options):
            received.update(data=data, inits=inits, options=options)

    numbers = {
        "T": np.int64(3),
        "tau": np.float64(0.05),
        "y": [1e-05, -0.0, 1e22, 1 / 3],
        "X": np.array([[0.1, 2.0], [1e-300, 5e15]]).tolist(),
        "s_a": [1, 0],
    }
    FilesWritten(Backend(), tmp_path).optimize(data=numbers, inits={"k": np.float64(1.5)}, seed=3)
    for name, content in (("data", numbers), ("inits", {"k": 1.5})):
        stanio.write_stan_json(str(tmp_path / "expected"), content)
        assert Path(received[name]).read_bytes() == (tmp_path / "expected").read_bytes()
    assert received["options"] == {"seed": 3}


def test_prophet_is_imported_without_matplotlib():
    code = (
        "import sys; from trainyard_trainer.frameworks.prophet.series import quiet_prophet; quiet_prophet()\n"
        "print('matplotlib' in sys.modules, 'matplotlib.pyplot' in sys.modules)\n"
        "import matplotlib; print(matplotlib.__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "matplotlib"]
    assert done.stderr == ""
