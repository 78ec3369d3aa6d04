"""Children as dicts: the Job of an attempt, the ModelVersion of a result. Pure, so tests compare dicts."""

from trainyard_api import API_VERSION, meta
from trainyard_api.exit_codes import NON_RETRYABLE
from trainyard_api.modelversion import JobRef
from trainyard_api.training import Storage
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_api.version_object import version_object
from trainyard_api.wire import ChampionRef, TrainingResult
from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.core.naming import attempt_job_name, model_name
from trainyard_operator.core.objects import JobView, TrainingJobView
from trainyard_operator.core.pods import labels_of, pod_metadata
from trainyard_operator.core.resolve import trainer_config
from trainyard_operator.core.saved import job_digest
from trainyard_operator.core.training.render_container import is_container, without_identity
from trainyard_operator.core.training.render_pod import Body, attempt_pod, options_of

STOPPED_CODES = [int(code) for code in NON_RETRYABLE]


def attempt_job(
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
) -> Body:
    """Return the Job of one attempt.

    ``out_of_memory`` counts the attempts before that were killed for memory; each multiplies it by
    ``retry.memoryGrowth``. ``limit`` is the running time in seconds that the attempts before left, ``fallback`` says
    that ``spec`` is without the accelerator that the job asks for, ``champion`` is what the trainer compares its model
    with. The Job carries its configuration in pod-template annotations, so one write is an attempt.
    """
    settings = trainer_config(job, spec, attempt, config, champion)
    labels = child_labels(job, attempt, settings.model_name)
    options = options_of(job.namespace, spec, config)
    handed = {
        **without_identity(spec, options),
        meta.CONFIG_ANNOTATION: settings.to_json(),
        meta.CA_ANNOTATION: ca,
    }
    body: Body = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": attempt_job_name(job, attempt, fallback=fallback),
            "namespace": job.namespace,
            "labels": labels_of(options, labels),
            **({"annotations": options.annotations} if options.annotations else {}),
            "ownerReferences": [_owner(job)],
        },
        "spec": {
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    *_final_exit_codes(spec),
                ]
            },
            "template": {
                "metadata": pod_metadata(options, labels, handed),
                "spec": attempt_pod(job, spec, settings, config, out_of_memory),
            },
        },
    }
    if spec.shards > 1:
        body["spec"].update(completionMode="Indexed", completions=spec.shards, parallelism=spec.shards)
    if limit is not None:
        body["spec"]["activeDeadlineSeconds"] = limit
    return body


def deadline(job: TrainingJobView, child: JobView, limit: int) -> Body:
    """Return what changes the running time of exactly this Job, and nothing else of it."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": child.name, "namespace": job.namespace, "uid": child.uid},
        "spec": {"activeDeadlineSeconds": limit},
    }


def model_version(
    job: TrainingJobView, wish: TrainingJobSpec, child: JobView, result: TrainingResult, storage: Storage | None
) -> Body:
    """Return the ModelVersion of a successful result, with ``storage`` as it was resolved for the job."""
    return version_object(
        result,
        namespace=job.namespace,
        model=model_name(job),
        job=job_ref(job),
        objective=wish.objective,
        gates=wish.gates,
        storage=storage,
        image=child.image,
    )


def job_ref(job: TrainingJobView) -> JobRef:
    """Return how a version names the job that made it."""
    return JobRef(name=job.name, uid=job.uid, spec_digest=job_digest(job))


def child_labels(job: TrainingJobView, attempt: int, model: str) -> dict[str, str]:
    """Return the labels of an attempt. The owner's own are never copied: Argo CD would prune the child by them."""
    return {
        meta.MANAGED_BY_LABEL: meta.MANAGED_BY,
        meta.JOB_LABEL: job.name,
        meta.UID_LABEL: job.uid,
        meta.ATTEMPT_LABEL: str(attempt),
        meta.MODEL_LABEL: model,
    }


def _final_exit_codes(spec: TrainingJobSpec) -> list[Body]:
    """Return a rule for each of our containers: none is made for what an injected sidecar ends with."""
    names = meta.CONTAINERS if is_container(spec) else (meta.CONTAINER,)
    return [
        {"action": "FailJob", "onExitCodes": {"containerName": name, "operator": "In", "values": STOPPED_CODES}}
        for name in names
    ]


def _owner(job: TrainingJobView) -> Body:
    return {
        "apiVersion": API_VERSION,
        "kind": "TrainingJob",
        "name": job.name,
        "uid": job.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
