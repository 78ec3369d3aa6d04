"""The store never goes back in time, whatever the order of watch events, lists and responses."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.operator.api_server import NAMESPACE
from tests.unit.operator.cluster import Cluster
from tests.unit.operator.operators import run
from tests.unit.operator.samples import CA, CONFIG, SPEC, attempt_job, job_view
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_operator.kinds.base import Key
from trainyard_operator.kinds.children import JOB
from trainyard_operator.kinds.training_job import TRAINING_JOB
from trainyard_operator.kube.port import TRAINING_JOBS
from trainyard_operator.runtime.registry import KINDS
from trainyard_operator.runtime.resync import resync
from trainyard_operator.runtime.store import Store

KEY = Key(NAMESPACE, "diabetes")


def body(version: int, uid: str = "u1", **status: Any) -> dict[str, Any]:
    metadata = {
        "name": "diabetes",
        "namespace": NAMESPACE,
        "uid": uid,
        "resourceVersion": str(version),
        "generation": 1,
        "creationTimestamp": "2026-11-21T08:00:00Z",
    }
    return {"metadata": metadata, "spec": SPEC, "status": status}


def job(attempt: int = 1, version: int = 1, **metadata: Any) -> dict[str, Any]:
    rendered = attempt_job(job_view(), TrainingJobSpec.model_validate(SPEC), attempt, config=CONFIG, ca=CA)
    rendered["metadata"] |= {
        "uid": f"job-{attempt}",
        "resourceVersion": str(version),
        "creationTimestamp": "2026-11-21T08:00:00Z",
        **metadata,
    }
    return rendered


def test_old_events_are_ignored() -> None:
    store = Store(KINDS)
    assert store.apply("TrainingJob", body(10, phase="Running")) == {KEY}
    assert not store.apply("TrainingJob", body(9, phase="Starting"))
    assert not store.apply("TrainingJob", body(10, phase="Running"))
    found = store.get(TRAINING_JOB, *KEY[:2])
    assert found is not None
    assert found.status.phase == "Running"
    assert store.stored_status(KEY) == {"phase": "Running"}


def test_resource_versions_are_compared_as_numbers() -> None:
    store = Store(KINDS)
    store.apply("TrainingJob", body(9))
    assert store.apply("TrainingJob", body(10)) == {KEY}


def test_events_of_an_earlier_object_of_the_same_name_are_ignored() -> None:
    store = Store(KINDS)
    store.apply("TrainingJob", body(5, uid="new"))
    assert not store.apply("TrainingJob", body(4, uid="old", phase="Running")), "the response to a late write"
    assert not store.apply("TrainingJob", body(4, uid="old"), deleted=True)
    found = store.get(TRAINING_JOB, *KEY[:2])
    assert found is not None
    assert found.uid == "new"
    assert store.apply("TrainingJob", body(7, uid="newer")) == {KEY}


def test_deleted_objects_stay_deleted_until_they_are_created_again() -> None:
    store = Store(KINDS)
    store.apply("TrainingJob", body(5))
    assert store.apply("TrainingJob", body(6), deleted=True) == {KEY}
    assert not store.apply("TrainingJob", body(5))
    assert store.get(TRAINING_JOB, *KEY[:2]) is None
    assert store.apply("TrainingJob", body(8, uid="u2")) == {KEY}


def test_children_are_found_by_the_uid_of_their_owner() -> None:
    store = Store(KINDS)
    assert store.apply("Job", job(1)) == {KEY}
    assert store.apply("Job", job(2, version=2)) == {KEY}
    assert [child.attempt for child in store.children(JOB, NAMESPACE, "uid-tj")] == [1, 2]
    store.apply("Job", job(1, version=3), deleted=True)
    assert [child.attempt for child in store.children(JOB, NAMESPACE, "uid-tj")] == [2]
    assert store.children(JOB, NAMESPACE, "other") == ()


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": {}},
        {"labels": None},
        {"ownerReferences": None},
        {"ownerReferences": [{"kind": "TrainingJob", "name": "diabetes", "uid": "uid-tj"}]},
        {"ownerReferences": [{"kind": "CronJob", "name": "diabetes", "uid": "uid-tj", "controller": True}]},
        {"ownerReferences": [{"kind": "TrainingJob", "name": "other", "uid": "uid-tj", "controller": True}]},
        {"name": "diabetes"},
        {"name": "diabetes-01"},
        {"name": "my-diabetes-2"},
        {"name": "diabetes-copy-2"},
    ],
)
def test_a_job_that_is_not_a_child_is_ignored(metadata: dict[str, Any]) -> None:
    assert not Store(KINDS).apply("Job", job(**metadata))


def test_a_child_with_an_edited_label_keeps_its_attempt() -> None:
    store = Store(KINDS)
    labels = {**job()["metadata"]["labels"], "trainyard.dev/attempt": "seven", "trainyard.dev/trainingjob": "another"}
    store.apply("Job", job(labels=labels))
    assert [child.attempt for child in store.children(JOB, NAMESPACE, "uid-tj")] == [1]


def test_a_child_in_another_namespace_does_not_count() -> None:
    store = Store(KINDS)
    store.apply("Job", job(namespace="elsewhere"))
    assert store.children(JOB, NAMESPACE, "uid-tj") == ()


def test_a_child_without_its_labels_is_dropped() -> None:
    store = Store(KINDS)
    store.apply("Job", job())
    assert store.apply("Job", job(version=2, labels={})) == {KEY}
    assert store.children(JOB, NAMESPACE, "uid-tj") == ()


def test_objects_changed_during_a_list_are_not_pruned() -> None:
    store = Store(KINDS)
    store.apply("TrainingJob", body(1))
    before = store.names("TrainingJob")
    store.apply("TrainingJob", body(2))
    assert store.prune("TrainingJob", before, []) == set()
    assert store.prune("TrainingJob", store.names("TrainingJob"), []) == {KEY}
    assert store.get(TRAINING_JOB, *KEY[:2]) is None


def test_the_most_recently_used_views_of_finished_objects_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainyard_operator.runtime.store.VIEWS_AT_REST", 2)
    store, phases = Store(KINDS), {"a": "Succeeded", "b": "Failed", "c": "Cancelled", "d": "Running"}
    for version, (name, phase) in enumerate(phases.items(), start=1):
        one = body(version, phase=phase)
        store.apply("TrainingJob", {**one, "metadata": {**one["metadata"], "name": name}})
    a, b, c, d = (Key(NAMESPACE, name) for name in phases)
    first = {key: store.get(TRAINING_JOB, *key[:2]) for key in (a, b, d)}
    assert store.get(TRAINING_JOB, *a[:2]) is first[a]
    store.get(TRAINING_JOB, *c[:2])
    assert store.get(TRAINING_JOB, *a[:2]) is first[a], "it was used after b"
    assert store.get(TRAINING_JOB, *b[:2]) is not first[b]
    assert store.get(TRAINING_JOB, *b[:2]) == first[b]
    assert store.get(TRAINING_JOB, *d[:2]) is first[d], "d is not finished"


def test_an_object_is_new_until_the_operator_has_written() -> None:
    store = Store(KINDS)
    store.apply("TrainingJob", body(1, observedGeneration=-1))
    assert store.is_new(KEY)
    store.apply("TrainingJob", body(2, phase="Starting"))
    assert not store.is_new(KEY)


def test_resync_fills_prunes_and_notifies() -> None:
    cluster = Cluster()
    woken: set[Key] = set()
    store = Store(KINDS, wake=woken.add)
    a, b = Key(NAMESPACE, "a"), Key(NAMESPACE, "b")

    def resynced(*namespaces: str) -> set[Key]:
        woken.clear()
        assert run(resync(cluster, store, namespaces)) == {}
        return set(woken)

    cluster.submit("a", SPEC)
    cluster.submit("b", SPEC)
    assert resynced() == {a, b}
    assert resynced(NAMESPACE) == set()
    cluster.remove(TRAINING_JOBS, NAMESPACE, "a")
    assert resynced("elsewhere") == set()
    assert resynced() == {a}
    assert store.count("TrainingJob") == 1


def test_the_store_notifies_all_but_the_object_being_reconciled() -> None:
    woken: list[Key] = []
    store = Store(KINDS, wake=woken.append)
    store.apply("TrainingJob", body(1))
    store.apply("Job", job(1, version=2), reconciling=KEY)
    store.apply("Job", job(1, version=3))
    store.apply("Job", job(1, version=3))
    store.forget(KEY, reconciling=KEY)
    store.prune("Job", store.names("Job"), [])
    assert woken == [KEY] * 3


@settings(deadline=None)
@given(st.permutations(range(1, 7)), st.integers(1, 6))
def test_any_order_of_events_ends_in_the_newest_state(order: list[int], deleted: int) -> None:
    store = Store(KINDS)
    for version in order:
        store.apply("TrainingJob", body(version, phase="Running"), deleted=version == deleted)
    assert (store.get(TRAINING_JOB, *KEY[:2]) is None) == (deleted == 6)
