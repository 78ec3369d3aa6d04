"""One pipeline for every framework: load, preprocess, train, evaluate, register."""

import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from trainyard_api.base import MAX_INTEGER
from trainyard_api.modelversion import Comparison
from trainyard_api.trainingjob import Artifact
from trainyard_api.wire import ChampionRef, TrainerConfig, TrainingResult
from trainyard_trainer.artifacts.checkpoints import open_checkpoints
from trainyard_trainer.artifacts.layout import ModelKeys
from trainyard_trainer.artifacts.manifest import ObjectiveValue
from trainyard_trainer.artifacts.runs import FinishedRun, begin_run
from trainyard_trainer.artifacts.store import ArtifactStore
from trainyard_trainer.artifacts.stored_run import StoredRun
from trainyard_trainer.environment import worker_count
from trainyard_trainer.errors import DataError, Interrupted, TrainerError
from trainyard_trainer.evaluate.names import METRICS, ranking_metrics
from trainyard_trainer.evaluate.weaknesses import weaknesses
from trainyard_trainer.frameworks.base import Context, Evaluation, Framework
from trainyard_trainer.job.backtest.run import run_backtest
from trainyard_trainer.job.backtest.windows import require_capacity
from trainyard_trainer.job.compare.champion import Champion, PredictionError, find_champion
from trainyard_trainer.job.compare.comparison import compare, compare_again, refused
from trainyard_trainer.job.compare.rows import unseen_forecasts
from trainyard_trainer.job.compare.time_limit import TimeLimit
from trainyard_trainer.job.register import TrainedRun, register_once, register_run
from trainyard_trainer.job.stages import enter, open_model, prepare_data
from trainyard_trainer.job.steps import Job
from trainyard_trainer.job.tune import tune
from trainyard_trainer.progress.stages import Stage
from trainyard_trainer.progress.tracker import metric_value
from trainyard_trainer.report.profile.profiling import profiled
from trainyard_trainer.search.first_trials import start_from


def run_pipeline(job: Job) -> TrainingResult:
    """Train and register, or find what an earlier process of the same job registered.

    Cheap checks come first: the specification, then the storage, then the data. If an earlier attempt died after it
    wrote its manifest, only the version is registered; nothing is trained twice.

    Raises
    ------
    TrainerError
        With one message for the user and the exit code.
    """
    config = job.config
    job.tracker.begin(Stage.LOAD, f"checking the specification of {config.namespace}/{config.name}")
    framework = job.steps.framework_for(config)
    store, keys = open_model(job)
    return register_once(
        job, store, keys, lambda: _train(job, framework, store, keys), lambda run: _compared_again(job, store, run)
    )


def _compared_again(job: Job, store: ArtifactStore, run: FinishedRun) -> Comparison | None:
    """Return the comparison of a finished run. Make a new one if another version is served than when it was trained.

    The version is registered already. So only a request to stop ends the attempt. Any other error becomes the reason
    why there is no comparison.
    """
    ref, before = job.config.champion, run.manifest.comparison
    digest = "" if ref is None else ref.artifact.manifest_sha256.removeprefix("sha256:")
    if ref is None or digest == run.manifest_sha256 or (before is not None and before.champion_digest == digest):
        return before
    enter(job, Stage.EVALUATE, f"comparing with version {ref.version}, which serves now")
    try:
        champion = find_champion(job.config, job.env)
        artifact = Artifact(uri=store.address(run.folder), manifest_sha256=run.manifest_sha256, size_bytes=0)
        candidate = Champion(
            ChampionRef(version=_UNNUMBERED, artifact=artifact), StoredRun(store, run.folder, run.manifest)
        )
        dataset = prepare_data(job, (*champion.columns, *candidate.columns), candidate.identity)
    except PredictionError as error:
        return refused(ref, error)
    except Interrupted:
        raise
    except TrainerError as error:
        return refused(ref, PredictionError("ChampionUnavailable", f"the data could not be read again: {error}"))
    with tempfile.TemporaryDirectory(prefix="trainyard-", dir=job.env.work_dir) as work:
        return compare_again(candidate, champion, dataset, job.config.spec, Path(work), _limit_of(job))


_UNNUMBERED: Final = MAX_INTEGER
"""Placeholder for the version number of the judged version, because only its files are used."""


def _train(job: Job, framework: Framework, store: ArtifactStore, keys: ModelKeys) -> FinishedRun:
    folder = begin_run(store, keys, job.config.uid, job.config.attempt)
    with tempfile.TemporaryDirectory(prefix="trainyard-", dir=job.env.work_dir) as work:
        run = train_and_judge(job, framework, TrainingResources(store, keys, Path(work), _champion_of(job)))
        enter(job, Stage.REGISTER, f"writing {store.address(folder)}")
        return register_run(run, framework, store, folder, progress=job.tracker, stop=job.stop)


@dataclass(frozen=True)
class TrainingResources:
    """The resources of a training: the model's location in the store, a local folder, and the champion.

    ``champion`` is a comparison if the champion cannot predict, and ``None`` if there is no champion.
    """

    store: ArtifactStore
    keys: ModelKeys
    folder: Path
    champion: Champion | Comparison | None = None


def _champion_of(job: Job) -> Champion | Comparison | None:
    if job.config.champion is None:
        return None
    try:
        return find_champion(job.config, job.env)
    except PredictionError as error:
        return refused(job.config.champion, error)


def _limit_of(job: Job) -> TimeLimit:
    return TimeLimit.of(job.config.spec, job.tracker.elapsed, job.stop)


def train_and_judge(job: Job, framework: Framework, resources: TrainingResources) -> TrainedRun:
    """Load, preprocess, search if requested, train and evaluate.

    Raises
    ------
    TrainerError
        With one message for the user and the exit code.
    """
    config = job.config
    champion = resources.champion
    known = champion if isinstance(champion, Champion) else None
    dataset = prepare_data(job, known.columns, known.identity) if known is not None else prepare_data(job)
    require_capacity(dataset, config.spec)
    output = resources.folder / "output"
    output.mkdir()
    checkpoints = open_checkpoints(resources.store, resources.keys, config, dataset)
    previous, warnings = start_from(resources.store, resources.keys, config.spec, checkpoints)
    context = Context(
        config=config,
        workers=worker_count(config.spec.workers),
        work_dir=resources.folder,
        output=output,
        progress=job.tracker,
        stop=job.stop,
        parameters=config.spec.parameters or {},
        checkpoints=checkpoints,
        previous=previous,
    )
    enter(job, Stage.TRAIN, f"training with {framework.name} on {dataset.rows} rows")
    context = tune(framework, dataset, context)
    trained = framework.train(dataset, context)
    trained = replace(trained, tuned=trained.tuned or context.tuned, warnings=(*trained.warnings, *warnings))
    enter(job, Stage.EVALUATE, "evaluating the model on the held-out rows")
    evaluation = framework.evaluate(dataset, trained, context)
    found = profiled(dataset, config, job.env)
    dataset = replace(dataset, findings=(*found.findings, *dataset.findings))
    evaluation = replace(evaluation, metrics={**evaluation.metrics, **found.metrics})
    objective = _objective(config, evaluation, dataset.origin.uri)
    weak = weaknesses(evaluation, dataset.positive_class, ranking_metrics(config.spec), objective.metric)
    trained = replace(trained, warnings=(*trained.warnings, *weak))
    job.tracker(1.0, f"{objective.metric} {metric_value(objective.value)}", evaluation.metrics)
    limit = _limit_of(job)
    compared = (
        compare(champion, dataset, evaluation, config.spec, resources.folder, limit)
        if isinstance(champion, Champion)
        else champion
    )
    run = TrainedRun(config, dataset, trained, evaluation, objective, output, compared, found)
    if config.spec.backtest is None:
        return run
    job.tracker.begin(Stage.EVALUATE, "evaluating the training at earlier cutoffs")
    predict_unseen = partial(unseen_forecasts, known, work=resources.folder, limit=limit) if known is not None else None
    return run.with_backtest(run_backtest(framework, dataset, context, known=evaluation, champion=predict_unseen))


def _objective(config: TrainerConfig, evaluation: Evaluation, uri: str) -> ObjectiveValue:
    """Return the objective value. The metric is known, but some holdouts do not allow to compute it."""
    names = ranking_metrics(config.spec)
    for name in names:
        if name in evaluation.metrics:
            return ObjectiveValue(metric=name, value=evaluation.metrics[name])
    reasons = "; ".join(evaluation.notes) or "its value is not finite"
    others = [name for name in METRICS[config.spec.task] if name in evaluation.metrics]
    raise DataError(
        f"spec.objective.metric {' or '.join(names)} has no value on the held-out rows of {uri} "
        f"({reasons}); choose one of {', '.join(others)}"
    )
