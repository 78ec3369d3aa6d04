"""Perform the planned actions as API calls, and turn the responses into facts.

Each action is idempotent by name. If this or another replica has already performed it, it succeeds.
"""

from dataclasses import dataclass, field
from typing import Final, assert_never

from trainyard_api import meta
from trainyard_operator.core.facts import Refusal
from trainyard_operator.core.plan import Action, Apply, Body, Create, Delete, Kind
from trainyard_operator.kinds.base import Kinds
from trainyard_operator.kube.errors import AlreadyExistsError, ForbiddenError, InvalidError, NotFoundError
from trainyard_operator.kube.port import KubePort, Resource

OWNER_LABELS: Final = (meta.UID_LABEL, meta.SCHEDULE_UID_LABEL, meta.DEPLOYMENT_UID_LABEL)


@dataclass(frozen=True)
class Applied:
    """Result of some actions: the objects as the API server stored them, and a refusal if an action was refused."""

    bodies: list[tuple[Kind, Body]] = field(default_factory=list)
    refused: Refusal | None = None


async def apply(port: KubePort, kinds: Kinds, namespace: str, actions: tuple[Action, ...]) -> Applied:
    """Perform actions in order, up to the first one that is refused.

    Raises
    ------
    ApiError
        If the API server does not respond, asks to wait, or forbids a deletion. The reconcile is repeated later.
    """
    done = Applied()
    for action in actions:
        try:
            match action:
                case Create(kind, body):
                    done.bodies.append((kind, await _create(port, kinds, namespace, kind, body)))
                case Apply(kind, body):
                    done.bodies.append((kind, await port.apply(kinds[kind].resource, namespace, body, force=True)))
                case Delete(kind, name, uid):
                    await port.delete(kinds[kind].resource, namespace, name, uid=uid)
                case _:
                    assert_never(action)
        except (InvalidError, ForbiddenError, NotFoundError, _NameTakenError) as error:
            if isinstance(action, Delete):
                raise  # no plan can continue without it
            return Applied(done.bodies, _refusal(error))
    return done


def _refusal(error: Exception) -> Refusal:
    if isinstance(error, InvalidError):
        return Refusal(error.message, permanent=not error.by_admission)
    return Refusal(str(error), permanent=False)


class _NameTakenError(Exception):
    """An object that the operator does not own has the required name."""


async def _create(port: KubePort, kinds: Kinds, namespace: str, kind: Kind, body: Body) -> Body:
    resource, name = kinds[kind].resource, body["metadata"]["name"]
    try:
        if not kinds[kind].in_place:
            return await port.create(resource, namespace, body)
        if not await _exists(port, resource, namespace, name):
            return await port.apply(resource, namespace, body, force=False)
    except AlreadyExistsError:
        pass
    existing = await port.get(resource, namespace, name)
    if not body["metadata"].get("ownerReferences") or _owners(existing) == _owners(body):
        return existing  # the planner checks who owns an object without an owner reference
    owner = body["metadata"]["ownerReferences"][0]["kind"]
    raise _NameTakenError(
        f"{kind} {name} already exists and does not belong to this {owner}: delete it, or rename one of the two"
    )


async def _exists(port: KubePort, resource: Resource, namespace: str, name: str) -> bool:
    try:
        await port.get(resource, namespace, name)
    except NotFoundError:
        return False
    return True


def _owners(body: Body) -> list[str]:
    """Return what identifies an object as a child: its labels and its controller. Labels alone can be copied."""
    labels, owners = body["metadata"].get("labels") or {}, body["metadata"].get("ownerReferences") or ()
    controllers = [owner["uid"] for owner in owners if owner.get("controller")]
    return [*(labels.get(label, "") for label in OWNER_LABELS), *controllers]
