"""From the core's actions to API calls, and from the API server's answers back to facts.

Each action is idempotent by name: done before, by us or by another replica, is success.
"""

from dataclasses import dataclass, field
from typing import assert_never

from trainyard_api import meta
from trainyard_operator.core.observed import Refusal
from trainyard_operator.core.plan import Action, CreateJob, CreateModelVersion, DeleteJob
from trainyard_operator.kube.errors import AlreadyExistsError, ForbiddenError, InvalidError, NotFoundError
from trainyard_operator.kube.port import JOBS, MODEL_VERSIONS, Body, KubePort


@dataclass(frozen=True)
class Applied:
    """What came of some actions: objects as the server now has them, and a refusal if one was not taken."""

    jobs: list[Body] = field(default_factory=list)
    versions: list[Body] = field(default_factory=list)
    refused: Refusal | None = None


async def apply(port: KubePort, namespace: str, actions: tuple[Action, ...]) -> Applied:
    """Carry out actions in order, up to the first that is refused.

    Raises
    ------
    ApiError
        When the server does not answer, asks to wait, or forbids a deletion: the turn is repeated later.
    """
    done = Applied()
    for action in actions:
        try:
            match action:
                case CreateJob(body):
                    done.jobs.append(await _create_job(port, namespace, body))
                case CreateModelVersion(body):
                    done.versions.append(await _create_version(port, namespace, body))
                case DeleteJob(name, uid):
                    await port.delete(JOBS, namespace, name, uid=uid)
                case _:
                    assert_never(action)
        except (InvalidError, ForbiddenError, NotFoundError, _NameTakenError) as error:
            if isinstance(action, DeleteJob):
                raise  # no plan could do without it
            return Applied(done.jobs, done.versions, _refusal(error))
    return done


def _refusal(error: Exception) -> Refusal:
    if isinstance(error, InvalidError):
        return Refusal(error.message, permanent=True)
    return Refusal(str(error), permanent=False)


class _NameTakenError(Exception):
    """An object that is not ours has the name we need."""


async def _create_job(port: KubePort, namespace: str, body: Body) -> Body:
    try:
        return await port.create(JOBS, namespace, body)
    except AlreadyExistsError:
        name, uid = body["metadata"]["name"], body["metadata"]["labels"][meta.UID_LABEL]
        existing = await port.get(JOBS, namespace, name)
        if (existing["metadata"].get("labels") or {}).get(meta.UID_LABEL) == uid:
            return existing
        raise _NameTakenError(f"Job {name} exists and is not of this TrainingJob: delete it or rename one") from None


async def _create_version(port: KubePort, namespace: str, body: Body) -> Body:
    try:
        return await port.create(MODEL_VERSIONS, namespace, body)
    except AlreadyExistsError:
        return await port.get(MODEL_VERSIONS, namespace, body["metadata"]["name"])
