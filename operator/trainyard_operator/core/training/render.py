"""Objects of a TrainingJob: its attempts, and the ModelVersion of a result.

All functions are pure, so tests compare dicts.
"""

from trainyard_api import API_VERSION, meta
from trainyard_api.modelversion import JobRef
from trainyard_api.training import Storage
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_api.version_object import version_object
from trainyard_api.wire import ChampionRef, TrainingResult
from trainyard_operator.core.batch.pod import options_of
from trainyard_operator.core.batch.workload import Launch
from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.core.naming import attempt_job_name
from trainyard_operator.core.objects import TrainingJobView, WorkloadView
from trainyard_operator.core.plan import Body
from trainyard_operator.core.pods import labels_of, pod_metadata
from trainyard_operator.core.resolve import trainer_config
from trainyard_operator.core.training.render_container import is_container, without_identity
from trainyard_operator.core.training.render_pod import attempt_pod
from trainyard_operator.core.training.saved import job_digest


def launch(
    job: TrainingJobView,
    spec: TrainingJobSpec,
    attempt: int,
    *,
    config: OperatorConfig,
    ca: str,
    out_of_memory: int = 0,
    limit: int | None = None,
    fallback: bool = False,
    champion: ChampionRef | None = None,
) -> Launch:
    """Return one attempt, ready to be created.

    ``out_of_memory`` is the number of earlier attempts that were killed for memory. Each one multiplies the memory by
    ``retry.memoryGrowth``. ``limit`` is the remaining running time in seconds. ``fallback`` means that ``spec`` has no
    accelerator although the job requests one. The trainer compares its model with ``champion``. The configuration is in
    annotations of the pod template, so an attempt needs one write.
    """
    settings = trainer_config(job, spec, attempt, config, champion)
    labels = child_labels(job, attempt, settings.model_name)
    options = options_of(job.namespace, spec, config)
    handed = {
        **without_identity(spec, options),
        meta.CONFIG_ANNOTATION: settings.to_json(),
        meta.CA_ANNOTATION: ca,
    }
    return Launch(
        name=attempt_job_name(job, attempt, fallback=fallback),
        namespace=job.namespace,
        owner=_owner(job),
        labels=labels_of(options, labels),
        annotations=options.annotations or {},
        template={
            "metadata": pod_metadata(options, labels, handed),
            "spec": attempt_pod(job, spec, settings, config, out_of_memory),
        },
        containers=meta.CONTAINERS if is_container(spec) else (meta.CONTAINER,),
        pods=spec.pods,
        limit=limit,
    )


def model_version(
    job: TrainingJobView, spec: TrainingJobSpec, workload: WorkloadView, result: TrainingResult, storage: Storage | None
) -> Body:
    """Return the ModelVersion of a successful result. ``storage`` is the resolved storage of the job."""
    return version_object(
        result,
        namespace=job.namespace,
        model=job.model,
        job=job_ref(job),
        objective=spec.objective,
        gates=spec.gates,
        storage=storage,
        image=workload.image,
    )


def job_ref(job: TrainingJobView) -> JobRef:
    """Return the reference from a version to its job."""
    return JobRef(name=job.name, uid=job.uid, spec_digest=job_digest(job))


def child_labels(job: TrainingJobView, attempt: int, model: str) -> dict[str, str]:
    """Return the labels of an attempt.

    The owner's labels are not copied, because Argo CD would prune the workload by them.
    """
    return {
        meta.MANAGED_BY_LABEL: meta.MANAGED_BY,
        meta.JOB_LABEL: job.name,
        meta.UID_LABEL: job.uid,
        meta.ATTEMPT_LABEL: str(attempt),
        meta.MODEL_LABEL: model,
    }


def _owner(job: TrainingJobView) -> Body:
    return {
        "apiVersion": API_VERSION,
        "kind": "TrainingJob",
        "name": job.name,
        "uid": job.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
