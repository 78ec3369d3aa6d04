"""Imports before the needs of a job are known: each heavy library costs seconds and a hundred megabytes."""

import subprocess
import sys

import pytest

ALL = frozenset(
    {
        *("torch", "prophet", "cmdstanpy", "mlflow", "lightgbm", "sklearn", "scipy", "matplotlib"),
        *("mlforecast", "statsforecast", "optuna", "onnx", "onnxruntime", "onnxmltools"),
        *("boto3", "botocore", "sqlalchemy"),
    }
)


@pytest.mark.parametrize(
    ("modules", "also"),
    [
        ("trainyard_trainer", {"pandas", "numpy", "pyarrow", "pydantic"}),
        ("trainyard_trainer.cli.main", {"pandas", "numpy", "pyarrow", "pydantic"}),
        ("trainyard_trainer.job.dispatch, trainyard_trainer.job.run, trainyard_trainer.job.pipeline", set()),
        ("trainyard_trainer.data.loading, trainyard_trainer.data.preprocessing", set()),
        ("trainyard_trainer.frameworks.registry, trainyard_trainer.data.formats.reading", set()),
    ],
)
def test_an_import_loads_no_library_that_only_some_jobs_need(modules, also):
    code = f"import sys, {modules}; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (ALL | also) & set(done.stdout.split()) == set()


@pytest.mark.parametrize("task", ["Regression", "Classification", "Forecast"])
def test_lightgbm_does_not_import_scikit_learn_without_need(task):
    code = (
        "import sys\n"
        "from trainyard_trainer.frameworks.registry import framework_for\n"
        "from trainyard_api.wire import TrainerConfig\n"
        f"more = {{'forecast': {{'horizon': 2}}}} if {task!r} == 'Forecast' else {{}}\n"
        "data = {'uri': 's3://a/b', 'target': 'y', 'time': 't'}\n"
        f"spec = {{'framework': 'LightGBM', 'task': {task!r}, 'data': data, **more}}\n"
        "config = {'namespace': 'n', 'name': 'j', 'uid': 'u', 'modelName': 'j', 'spec': spec}\n"
        "print(framework_for(TrainerConfig.model_validate(config)).name, 'sklearn' in sys.modules)\n"
        "import sklearn.metrics\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["LightGBM", "False"]


def test_a_classification_job_does_not_import_scikit_learn(tmp_path):
    rows = "".join(f"{number % 17},{'yes' if number % 17 > 8 else 'no'}\n" for number in range(200))
    (tmp_path / "t.csv").write_text(f"x,big\n{rows}")
    (tmp_path / "job.yaml").write_text(
        "apiVersion: trainyard.dev/v1alpha1\nkind: TrainingJob\nmetadata: {name: big}\n"
        "spec:\n  framework: LightGBM\n  task: Classification\n"
        f"  data: {{uri: 'file://{tmp_path}/t.csv', target: big}}\n"
    )
    code = (
        "import sys\n"
        "from trainyard_trainer.cli.main import main\n"
        f"done = main(['run', '-f', '{tmp_path}/job.yaml', '--output', '{tmp_path}/out'])\n"
        "print(done, 'sklearn' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 False", done.stdout


def test_workers_of_prophet_have_one_thread_each():
    variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    code = (
        "import os, sys, trainyard_trainer.frameworks.prophet.preload\n"
        f"print([os.environ[name] for name in {variables}])\n"
        "from threadpoolctl import threadpool_info\n"
        "print([pool['num_threads'] for pool in threadpool_info()])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    variables, pools = done.stdout.splitlines()[-2:]
    assert variables == str(["1"] * 4)
    assert set(pools.strip("[]").split(", ")) == {"1"}
