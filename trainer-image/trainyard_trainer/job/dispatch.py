"""Choose how to run a job: one model, shards of one model, a script of the user, or no model."""

from trainyard_api.wire import TrainingResult
from trainyard_trainer.frameworks.registry import check_shards, start_early
from trainyard_trainer.job.steps import Job


def run(job: Job) -> TrainingResult:
    """Run the job as its specification requests. Each module is imported only if it is used.

    Raises
    ------
    TrainerError
        With one message for the user and the exit code.
    """
    spec = job.config.spec
    check_shards(spec)
    if spec.mode == "Prepare":
        from trainyard_trainer.job.prepare.prepare_dataset import prepare_dataset

        return prepare_dataset(job)
    if spec.mode == "Backtest":
        from trainyard_trainer.job.backtest.backtest_job import backtest_job

        start_early(spec)
        return backtest_job(job)
    if spec.framework == "Script":
        from trainyard_trainer.job.script.run_script import run_script

        return run_script(job)
    start_early(spec)
    if spec.shards > 1:
        from trainyard_trainer.job.shards.train_shard import train_shard

        return train_shard(job)
    from trainyard_trainer.job.pipeline import run_pipeline

    return run_pipeline(job)
