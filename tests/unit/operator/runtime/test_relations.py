"""Which objects a change affects: unaffected objects are not notified, and no affected object is missed."""

from collections import Counter
from typing import Any

import pytest

from trainyard_api import meta
from trainyard_operator.core.plan import Kind
from trainyard_operator.kinds.base import Key
from trainyard_operator.kinds.children import DEPLOYMENT, SERVICE
from trainyard_operator.runtime.registry import KINDS
from trainyard_operator.runtime.store import Store


def body(name: str, version: int, spec: dict[str, Any] | None = None, **labels: str) -> dict[str, Any]:
    metadata = {
        "namespace": "team",
        "name": name,
        "uid": f"uid-{name}",
        "resourceVersion": str(version),
        "creationTimestamp": "2026-11-21T08:00:00Z",
        "labels": labels,
    }
    return {"metadata": metadata, "spec": spec or {}, "status": {}}


def version(number: int, at: int, model: str = "demand") -> dict[str, Any]:
    spec = {"model": model, "version": number, "artifact": {}, "trainingJob": {}}
    return body(f"{model}-v{number}", at, spec)


def keys(kind: Kind, *names: str) -> set[Key]:
    return {Key("team", name, kind) for name in names}


@pytest.fixture
def store() -> Store:
    store = Store(KINDS)
    for number in (1, 2):
        store.apply("ModelVersion", version(number, number))
    store.apply("ModelVersion", version(1, 3, "other"))
    store.apply("ModelDeployment", body("shop", 4, {"modelName": "demand"}))
    return store


def judged(number: int, at: int, phase: str = "Validated") -> dict[str, Any]:
    return {**version(number, at), "status": {"phase": phase}}


def shop(at: int, **status: Any) -> dict[str, Any]:
    return {**body("shop", at, {"modelName": "demand"}), "status": status}


def rejected(*numbers: int) -> list[dict[str, Any]]:
    return [{"version": number, "reason": "Failing", "time": "2026-11-21T08:00:00Z"} for number in numbers]


def test_a_version_affects_unjudged_versions_and_deployments(store: Store) -> None:
    store.apply("ModelVersion", judged(4, 8))
    store.apply("ModelVersion", judged(5, 9, "Rejected"))
    expected = keys("ModelVersion", "demand-v1", "demand-v2", "demand-v3") | keys("ModelDeployment", "shop")
    assert store.apply("ModelVersion", version(3, 10)) == expected
    assert store.apply("ModelVersion", judged(3, 11)) == expected
    assert store.apply("ModelVersion", judged(3, 12), deleted=True) == expected
    assert store.apply("ModelVersion", judged(2, 13)) == keys("ModelVersion", "demand-v1", "demand-v2") | keys(
        "ModelDeployment", "shop"
    )


@pytest.mark.parametrize("field", ["activeVersion", "previousVersion", "candidateVersion"])
def test_a_deployment_affects_the_versions_that_it_names_or_named(store: Store, field: str) -> None:
    for number in range(1, 7):
        store.apply("ModelVersion", judged(number, 10 + number))
    assert store.apply("ModelDeployment", shop(20, **{field: 3})) == keys("ModelVersion", "demand-v3") | keys(
        "ModelDeployment", "shop"
    )
    after = shop(21, **{field: 4}, rejectedVersions=rejected(2, 9))
    named = keys("ModelVersion", "demand-v2", "demand-v3", "demand-v4")
    assert store.apply("ModelDeployment", after) == named | keys("ModelDeployment", "shop"), "there is no version 9"
    named = keys("ModelVersion", "demand-v2", "demand-v4")
    assert store.forget(Key("team", "shop", "ModelDeployment")) == named | keys("ModelDeployment", "shop")


def test_an_unreadable_deployment_affects_all_versions(store: Store) -> None:
    for number in range(1, 4):
        store.apply("ModelVersion", judged(number, 10 + number))
    everything = keys("ModelVersion", "demand-v1", "demand-v2", "demand-v3") | keys("ModelDeployment", "shop")
    assert store.apply("ModelDeployment", shop(20, phase="Dreaming")) == everything
    assert store.apply("ModelDeployment", shop(21)) == everything
    assert store.apply("ModelDeployment", shop(22)) == keys("ModelDeployment", "shop")


def test_judged_versions_are_not_notified_of_a_new_version() -> None:
    woken: list[Key] = []
    store = Store(KINDS, wake=woken.append)
    store.apply("ModelDeployment", shop(1, activeVersion=8759, previousVersion=8758))
    for number in range(1, 8760):
        store.apply("ModelVersion", judged(number, 1 + number))
    woken.clear()
    store.apply("ModelVersion", version(8760, 10_000))
    store.apply("ModelVersion", judged(8760, 10_001))
    store.apply("ModelDeployment", shop(10_002, activeVersion=8759, previousVersion=8758, candidateVersion=8760))
    store.apply("ModelDeployment", shop(10_003, activeVersion=8760, previousVersion=8759))
    assert Counter(key.name for key in woken) == {"shop": 4, "demand-v8760": 4, "demand-v8759": 2, "demand-v8758": 2}


def test_a_version_affects_only_the_job_that_made_it(store: Store) -> None:
    made = version(3, 10)
    made["spec"]["trainingJob"] = {"name": "nightly-7", "uid": "uid-7"}
    changed = store.apply("ModelVersion", made)
    assert {key for key in changed if key.kind == "TrainingJob"} == keys("TrainingJob", "nightly-7")


def test_a_deployment_affects_versions_and_deployments_of_its_model(store: Store) -> None:
    changed = store.apply("ModelDeployment", body("second", 10, {"modelName": "demand"}))
    assert changed == keys("ModelVersion", "demand-v1", "demand-v2") | keys("ModelDeployment", "shop", "second")


def test_a_job_affects_its_schedule() -> None:
    job = body("nightly-1", 1)
    owner = {"kind": "TrainingSchedule", "name": "nightly", "uid": "uid-nightly", "controller": True}
    job["metadata"]["ownerReferences"] = [owner]
    changed = Store(KINDS).apply("TrainingJob", job)
    assert changed == keys("TrainingJob", "nightly-1") | keys("TrainingSchedule", "nightly")


def child(name: str, at: int, owner: str = "shop", **reference: Any) -> dict[str, Any]:
    labels = {meta.DEPLOYMENT_LABEL: "shop", meta.DEPLOYMENT_UID_LABEL: "uid-shop", meta.VERSION_LABEL: "2"}
    found = body(name, at, **{**labels, meta.MANAGED_BY_LABEL: meta.MANAGED_BY})
    controller = {"kind": "ModelDeployment", "name": owner, "uid": f"uid-{owner}", "controller": True, **reference}
    found["metadata"]["ownerReferences"] = [controller]
    return found


@pytest.mark.parametrize("kind", ["Deployment", "Service", "PodDisruptionBudget"])
def test_a_child_affects_only_its_owner(store: Store, kind: Kind) -> None:
    assert store.apply(kind, child("shop-v2", 10)) == keys("ModelDeployment", "shop")


@pytest.mark.parametrize("name", ["shop", "shop-v", "shop-vtwo", "shop-v-1", "shop-v02", "other-v2"])
def test_a_deployment_not_named_after_a_version_is_not_a_child(store: Store, name: str) -> None:
    assert store.apply("Deployment", child(name, 10)) == set()


@pytest.mark.parametrize("kind", ["Deployment", "Service", "PodDisruptionBudget"])
@pytest.mark.parametrize("reference", [{"controller": False}, {"kind": "HelmRelease"}])
def test_labels_alone_do_not_make_a_child(store: Store, kind: Kind, reference: dict[str, Any]) -> None:
    assert store.apply(kind, child("shop-v2", 10, **reference)) == set()


@pytest.mark.parametrize("kind", ["Deployment", "Service", "PodDisruptionBudget"])
def test_a_child_in_another_namespace_does_not_count(store: Store, kind: Kind) -> None:
    forged = child("shop-v2", 10)
    forged["metadata"]["namespace"] = "evil"
    store.apply(kind, forged)
    assert store.children(DEPLOYMENT, "team", "uid-shop") == store.children(SERVICE, "team", "uid-shop") == ()


def test_an_object_that_changes_its_model_affects_both_models(store: Store) -> None:
    changed = store.apply("ModelVersion", {**version(1, 10), "spec": version(1, 10, "other")["spec"]})
    assert keys("ModelVersion", "demand-v2", "other-v1") | keys("ModelDeployment", "shop") <= changed


def test_the_listener_gets_every_change(store: Store) -> None:
    changes: list[tuple[Kind, Key]] = []
    listening = Store(KINDS, lambda kind, key: changes.append((kind, key)))
    listening.apply("TrainingJob", body("a", 1))
    listening.apply("TrainingJob", body("a", 1))
    listening.prune("TrainingJob", listening.names("TrainingJob"), [])
    assert changes == [("TrainingJob", Key("team", "a"))] * 2
