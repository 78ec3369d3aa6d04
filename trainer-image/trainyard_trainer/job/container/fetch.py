"""The step before the user's container: check the specification, the storage and the data, and write the input
files.
"""

import pandas as pd

from trainyard_trainer.artifacts.runs import begin_run
from trainyard_trainer.data.dataset import Dataset, Table
from trainyard_trainer.data.tables.prepare import rows_with_target
from trainyard_trainer.job.container.handover import Handover, leave
from trainyard_trainer.job.container.layout import lay_out, role_columns
from trainyard_trainer.job.container.spec_checks import check_own_code
from trainyard_trainer.job.stages import enter, open_model
from trainyard_trainer.job.steps import Job
from trainyard_trainer.progress.stages import Stage
from trainyard_trainer.report.profile.profiling import profiled


def fetch(job: Job) -> None:
    """Write the data of a job for its container.

    The user's container always runs after this, also if an earlier attempt was registered, because a pod cannot skip a
    step. Then ``register`` returns that version and does not create a second one.

    Raises
    ------
    TrainerError
        With one message for the user and the exit code.
    """
    config = job.config
    job.tracker.without_estimate()
    job.tracker.begin(Stage.LOAD, f"checking the specification of {config.namespace}/{config.name}")
    check_own_code(config)
    store, keys = open_model(job)
    run = begin_run(store, keys, config.uid, config.attempt)
    table = job.steps.load(config, job.env, job.tracker, job.stop)
    enter(job, Stage.PREPROCESS, "checking the data")
    dataset, roles = typed_with_roles(job, table)
    job.tracker(0.5, f"writing {dataset.rows} rows as CSV")
    lay_out(config, dataset, roles, job.env)
    leave(Handover.of(run, dataset, profiled(dataset, config, job.env)), job.env.work_dir)
    enter(job, Stage.TRAIN, f"starting the container of image {config.image}")


def typed_with_roles(job: Job, table: Table) -> tuple[Dataset, pd.DataFrame]:
    """Return the data as every framework gets it, and its columns of other roles with the same rows.

    Raises TrainerError.
    """
    spec = job.config.spec
    if spec.task == "Forecast":
        return job.steps.preprocess(table, job.config), pd.DataFrame()
    dataset = job.steps.preprocess(table, job.config)  # first: its error messages name the address
    return dataset, role_columns(table.frame[rows_with_target(table, spec)], spec)
