"""Deterministic names: whoever creates a child again gets the same one."""

from trainyard_operator.core.objects import ModelDeploymentView, TrainingJobView


def attempt_job_name(job: TrainingJobView, attempt: int) -> str:
    """Return the name of an attempt's Job."""
    return f"{job.name}-{attempt}"


def model_name(job: TrainingJobView) -> str:
    """Return the logical model a job trains: the one it names, else its own name."""
    return str(job.spec.get("modelName") or job.name)


def version_name(model: str, version: int) -> str:
    """Return the name of a ModelVersion."""
    return f"{model}-v{version}"


def serving_name(md: ModelDeploymentView, version: int) -> str:
    """Return the name of the Deployment that serves one version."""
    return f"{md.name}-v{version}"
