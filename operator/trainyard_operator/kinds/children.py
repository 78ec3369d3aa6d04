"""Children of the custom resources: Jobs, and the Deployment, Service and PodDisruptionBudget of a server."""

from collections.abc import Iterable
from typing import Any, Final

from trainyard_operator.core.naming import FALLBACK_SUFFIX, PREDICTION_PREFIX
from trainyard_operator.core.objects import DeploymentView, DisruptionBudgetView, ServiceView, WorkloadView
from trainyard_operator.core.plan import Body
from trainyard_operator.kinds.base import OURS, WatchedKind
from trainyard_operator.kube import views
from trainyard_operator.kube.port import DEPLOYMENTS, JOBS, POD_DISRUPTION_BUDGETS, SERVICES

_CONTAINER_LISTS: Final = ("initContainers", "containers")


def _is_attempt(child: str, owner: str) -> bool:
    attempt = views.attempt_of(child)
    names = {f"{owner}-{prefix}{attempt}" for prefix in ("", PREDICTION_PREFIX)}
    return attempt > 0 and child.removesuffix(FALLBACK_SUFFIX) in names


def _serves_a_version(child: str, owner: str) -> bool:
    version = views.version_of(child)
    return version > 0 and child == f"{owner}-v{version}"


def _images_and_deadline(spec: Body) -> Body:
    pod = spec["template"]["spec"]
    template = {"spec": {part: _images(pod.get(part) or ()) for part in _CONTAINER_LISTS}}
    return {"template": template, "activeDeadlineSeconds": spec.get("activeDeadlineSeconds")}


def _images(containers: Iterable[Body]) -> list[Body]:
    return [{"name": container["name"], "image": container.get("image", "")} for container in containers]


JOB: Final[WatchedKind[WorkloadView]] = WatchedKind(
    name="Job",
    resource=JOBS,
    read=views.job,
    selector=OURS,
    is_named_after=_is_attempt,
    kept=_images_and_deadline,
)

DEPLOYMENT: Final[WatchedKind[DeploymentView]] = WatchedKind(
    name="Deployment",
    resource=DEPLOYMENTS,
    read=views.deployment,
    selector=OURS,
    is_named_after=_serves_a_version,
    in_place=True,
)

SERVICE: Final[WatchedKind[ServiceView]] = WatchedKind(
    name="Service", resource=SERVICES, read=views.service, selector=OURS, in_place=True
)

DISRUPTION_BUDGET: Final[WatchedKind[DisruptionBudgetView]] = WatchedKind(
    name="PodDisruptionBudget",
    resource=POD_DISRUPTION_BUDGETS,
    read=views.disruption_budget,
    selector=OURS,
    in_place=True,
)

CHILDREN: Final[tuple[WatchedKind[Any], ...]] = (JOB, DEPLOYMENT, SERVICE, DISRUPTION_BUDGET)
