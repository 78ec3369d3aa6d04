"""Actions become API calls. An action that is already done succeeds, and foreign objects are left alone."""

from typing import Any

import pytest

from tests.unit.operator.api_server import NAMESPACE
from tests.unit.operator.cluster import Cluster
from tests.unit.operator.operators import run
from trainyard_api import meta
from trainyard_operator.core.plan import Apply, Create, Delete, Kind
from trainyard_operator.kube.errors import InvalidError
from trainyard_operator.runtime.apply import apply
from trainyard_operator.runtime.registry import KINDS


def child(kind: Kind, uid: str = "uid-shop", **spec: Any) -> dict[str, Any]:
    labels = {meta.DEPLOYMENT_LABEL: "shop", meta.DEPLOYMENT_UID_LABEL: uid, meta.VERSION_LABEL: "1"}
    owner = {"kind": "ModelDeployment", "name": "shop", "uid": uid}
    return {"kind": kind, "metadata": {"name": "shop", "labels": labels, "ownerReferences": [owner]}, "spec": spec}


@pytest.mark.parametrize("kind", ["Deployment", "Service", "PodDisruptionBudget"])
def test_creating_twice_creates_once(kind: Kind) -> None:
    cluster = Cluster()
    for _ in range(2):
        done = run(apply(cluster, KINDS, NAMESPACE, (Create(kind, child(kind)),)))
        assert done.refused is None
        assert [(kind, "shop")] == [(made, body["metadata"]["name"]) for made, body in done.bodies]
    assert cluster.writes == [("apply", KINDS[kind].resource.plural)]


@pytest.mark.parametrize("kind", ["Deployment", "Service", "PodDisruptionBudget", "Job"])
def test_a_foreign_object_is_left_alone(kind: Kind) -> None:
    cluster = Cluster()
    cluster.add(KINDS[kind].resource, NAMESPACE, child(kind, uid="other"))
    done = run(apply(cluster, KINDS, NAMESPACE, (Create(kind, child(kind)),)))
    assert done.refused is not None
    assert not done.refused.permanent
    assert f"{kind} shop already exists and does not belong to this ModelDeployment" in done.refused.message
    assert cluster.writes == []


def test_an_apply_changes_the_named_fields() -> None:
    cluster = Cluster()
    run(apply(cluster, KINDS, NAMESPACE, (Create("Service", child("Service", selector={"v": "1"})),)))
    done = run(apply(cluster, KINDS, NAMESPACE, (Apply("Service", child("Service", selector={"v": "2"})),)))
    assert [body["spec"] for _, body in done.bodies] == [{"selector": {"v": "2"}}]


def test_a_refusal_ends_the_remaining_actions() -> None:
    cluster = Cluster(quota=0)
    job = {"metadata": {"name": "a-1", "labels": {meta.UID_LABEL: "u"}}, "spec": {}}
    done = run(
        apply(
            cluster,
            KINDS,
            NAMESPACE,
            (Create("Service", child("Service")), Create("Job", job), Delete("Job", "b", "u")),
        )
    )
    assert done.refused is not None
    assert [kind for kind, _ in done.bodies] == ["Service"]
    assert cluster.writes == [("apply", "services")]


DENIALS = (
    (400, "BadRequest", 'admission webhook "validate.kyverno.svc" denied the request: label team is missing'),
    (
        422,
        "Invalid",
        "jobs.batch \"a-1\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: x",
    ),
)
WRONG = (
    (
        422,
        "Invalid",
        'Job.batch "a-1" is invalid: spec.template.spec.nodeSelector: Invalid value: "denied the request"',
    ),
    (400, "BadRequest", 'Job in version "v1" cannot be handled as a Job: strict decoding error: unknown field "x"'),
)


@pytest.mark.parametrize(("error", "permanent"), [*((e, False) for e in DENIALS), *((e, True) for e in WRONG)])
def test_a_policy_refuses_for_now_and_an_invalid_body_permanently(error: tuple[int, str, str], permanent: bool) -> None:
    cluster = Cluster()

    def deny(*_: object) -> None:
        raise InvalidError(*error)

    cluster.hook = deny
    job = {"metadata": {"name": "a-1", "labels": {meta.UID_LABEL: "u"}}, "spec": {}}
    done = run(apply(cluster, KINDS, NAMESPACE, (Create("Job", job),)))
    assert done.refused is not None
    assert (done.refused.permanent, done.refused.message) == (permanent, error[2])
