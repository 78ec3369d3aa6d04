"""The admission queue, compared with a simple rule after every step of random histories."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.operator.api_server import START
from tests.unit.operator.samples import SPEC, child, job_view
from trainyard_operator.core.admission.decision import ADMITTED, Decision, Waiting, last_positions, shown_position
from trainyard_operator.core.admission.queue import AdmissionQueue
from trainyard_operator.core.admission.request import AdmissionRequest, request_of
from trainyard_operator.core.config import Admission

NAMESPACES = ("x", "y", "z")
MODELS = ("m", "n", "o")


def request(
    name: str, *, rank: int = 2, age: int = 0, model: str = "", namespace: str = "x", holds: bool = False
) -> AdmissionRequest:
    created = START - timedelta(seconds=age)
    return AdmissionRequest(
        "TrainingJob", f"uid-{namespace}-{name}", namespace, name, model or name, rank, created, holds
    )


def plain_rule(requests: list[AdmissionRequest], limits: Admission) -> set[str]:
    """Admit one request after the other: highest rank first, then the namespace with the fewest running jobs."""
    running = [each for each in requests if each.holds]
    waiting = sorted((each for each in requests if not each.holds), key=lambda each: each.order)

    def orders(namespace: str) -> int:
        return sum(each.namespace == namespace for each in running)

    def has_capacity(each: AdmissionRequest) -> bool:
        models = {other.in_model for other in running}
        free_model = each.in_model not in models
        return free_model and orders(each.namespace) < (limits.for_namespace(each.namespace) or len(requests))

    while len(running) < (limits.max_concurrent_jobs or len(requests)):
        may = [each for each in waiting if has_capacity(each)]
        if not may:
            break
        following = min(may, key=lambda each: (each.rank, orders(each.namespace), each.order))
        waiting.remove(following)
        running.append(following)
    return {each.uid for each in running}


def wanted(requests: list[AdmissionRequest], limits: Admission) -> set[str]:
    """Return the jobs whose end would let another job start."""
    now = plain_rule(requests, limits)
    holders = [each for each in requests if each.holds]
    return {
        each.uid
        for each in holders
        if plain_rule([other for other in requests if other != each], limits) - now != set()
    }


# ---- examples --------------------------------------------------------------------------------------------------------


def queue_of(*requests: AdmissionRequest, **limits: Any) -> Callable[[str], Decision]:
    queue = AdmissionQueue(Admission(**limits))
    for each in requests:
        queue.put(each)
    return lambda name: queue.decision(f"uid-{name}")


def test_jobs_start_by_priority_then_age_then_name() -> None:
    decision = queue_of(
        request("running", holds=True),
        request("low", rank=3, age=99),
        request("old", age=50),
        request("b", age=20),
        request("a", age=20),
        request("urgent", rank=0),
        max_concurrent_jobs=1,
    )
    decisions = {name: decision(f"x-{name}") for name in ("urgent", "old", "a", "b", "low")}
    assert [each.position for each in decisions.values() if isinstance(each, Waiting)] == [1, 2, 3, 4, 5]
    assert decisions["urgent"] == Waiting(
        1,
        "ConcurrencyLimit",
        "waiting for a slot: the limit of the operator is 1 (admission.maxConcurrentJobs)",
    )


def test_a_model_lock_names_its_holder_and_blocks_no_other_model() -> None:
    decision = queue_of(
        request("first", model="m", holds=True),
        request("second", model="m", rank=0),
        request("other"),
        max_concurrent_jobs=2,
    )
    assert decision("x-other") == ADMITTED
    assert decision("x-second") == Waiting(
        1, "ModelLocked", "waiting for TrainingJob first: only one TrainingJob of model m runs at a time"
    )


def test_the_same_model_in_another_namespace_is_another_model() -> None:
    decision = queue_of(request("first", model="m", holds=True), request("second", model="m", namespace="y"))
    assert decision("y-second") == ADMITTED


def test_a_full_namespace_does_not_block_other_namespaces() -> None:
    decision = queue_of(
        request("running", holds=True),
        request("urgent", rank=0),
        request("low", rank=3, namespace="y"),
        max_concurrent_jobs=5,
        namespaces={"x": 1},
    )
    assert decision("y-low") == ADMITTED
    assert decision("x-urgent") == Waiting(
        1,
        "NamespaceLimit",
        "waiting for a slot: the limit of namespace x is 1 "
        "(admission.namespaces or admission.maxConcurrentJobsPerNamespace)",
    )


def test_namespaces_alternate_within_a_rank() -> None:
    """The number and the age of the jobs in one namespace do not matter."""
    several = [request(f"old-{number}", age=100 - number) for number in range(50)]
    several += [request("new", namespace="y"), request("newer", namespace="y"), request("low", rank=3, namespace="z")]
    queue = AdmissionQueue(Admission(max_concurrent_jobs=4))
    for each in several:
        queue.put(each)
    assert [each.name for each in several if queue.decision(each.uid) == ADMITTED] == ["old-0", "old-1", "new", "newer"]
    low = queue.decision("uid-z-low")
    assert isinstance(low, Waiting)
    assert low.position == 1, "its position among the jobs of its own namespace"


def test_a_running_job_is_wanted_if_its_end_lets_another_job_start() -> None:
    queue = AdmissionQueue(Admission(max_concurrent_jobs=3, namespaces={"y": 1}))
    for each in [request("a", holds=True), request("b", namespace="y", holds=True)]:
        queue.put(each)
    assert not queue.is_wanted("uid-x-a"), "no job waits"
    queue.put(request("c", namespace="y"))
    assert (queue.is_wanted("uid-x-a"), queue.is_wanted("uid-y-b")) == (False, True)
    queue.put(request("d", model="a"))
    assert queue.is_wanted("uid-x-a"), "another job waits for its model"


def test_each_job_is_notified_once_that_it_may_start() -> None:
    """If every start notified the other waiting jobs, many starts would cause far too many reconciles."""
    queue = AdmissionQueue(Admission(max_concurrent_jobs=20))
    waiting = [request(f"w-{number:02}", model=f"m-{number}", age=number) for number in range(30)]
    holders = [request(f"h-{number}", model=f"h-{number}", holds=True) for number in range(20)]
    for each in (*holders, *waiting):
        queue.put(each)
    queue.take_changes()
    notified: list[str] = []
    for each in holders:
        queue.drop(each.uid)
        notified += [news.uid for news in queue.take_changes()[0]]
    for uid in reversed(notified):
        entry = queue.get(uid)
        assert entry is not None
        queue.put(replace(entry, holds=True))
        assert queue.take_changes()[0] == []
    assert len(notified) == len(set(notified)) == 20
    queue.drop(notified[0])
    assert len(queue.take_changes()[0]) == 1


def test_a_notified_job_that_lost_its_admission_is_notified_again() -> None:
    queue = AdmissionQueue(Admission(max_concurrent_jobs=1))
    for each in (request("h", model="h", holds=True), request("a", model="a", age=1)):
        queue.put(each)
    queue.drop("uid-x-h")
    assert [each.name for each in queue.take_changes()[0]] == ["a"]
    urgent = request("u", model="u", rank=-1)
    queue.put(urgent)
    assert isinstance(queue.decision("uid-x-a"), Waiting)
    queue.put(replace(urgent, holds=True))
    queue.take_changes()
    queue.drop(urgent.uid)
    assert [each.name for each in queue.take_changes()[0]] == ["a"]


def test_a_namespace_may_have_no_limit_of_its_own() -> None:
    limits = Admission(max_concurrent_jobs_per_namespace=1, namespaces={"x": 0})
    assert (limits.for_namespace("x"), limits.for_namespace("y")) == (0, 1)


@pytest.mark.parametrize(
    ("position", "shown"),
    [(1, 1), (10, 10), (11, 20), (20, 20), (21, 50), (51, 100), (101, 200), (501, 1000), (2001, 5000), (5001, 10_000)],
)
def test_positions_are_rounded_up(position: int, shown: int) -> None:
    assert shown_position(position) == shown


def test_last_positions_are_where_the_shown_position_changes() -> None:
    assert list(last_positions(3000)) == [p for p in range(1, 3001) if shown_position(p) != shown_position(p + 1)]
    assert len(list(last_positions(15_000))) == 19
    assert list(last_positions(0)) == []


@pytest.mark.parametrize(
    ("status", "spec", "children", "expected"),
    [
        ({}, {}, (), "waits"),
        ({"phase": "Queued"}, {}, (), "waits"),
        ({"phase": "Pending", "attempts": [{"number": 1, "jobName": "a-1"}]}, {}, (), "waits"),
        ({"phase": "Suspended"}, {}, (), "waits"),
        ({"phase": "Suspended"}, {"suspend": True}, (), None),
        ({}, {"cancel": True}, (), None),
        ({"phase": "Running"}, {"cancel": True}, (), "holds"),
        ({"phase": "Retrying"}, {}, (), "holds"),
        ({"phase": "Queued"}, {}, (child(),), "holds"),
        ({"phase": "Succeeded"}, {}, (), None),
        ({"phase": "Succeeded"}, {}, (child(complete=True),), None),
        ({"phase": "Cancelled"}, {}, (child(deleting=True),), "holds"),
    ],
)
def test_which_jobs_wait_and_which_hold_capacity(
    status: dict[str, Any], spec: dict[str, Any], children: Any, expected: str | None
) -> None:
    found = request_of("TrainingJob", job_view(status, spec={**SPEC, **spec}), children, Admission(), reserved=False)
    assert expected == (None if found is None else "holds" if found.holds else "waits")


def test_a_reservation_holds_until_the_job_has_ended() -> None:
    reserved = request_of("TrainingJob", job_view(), (), Admission(), reserved=True)
    assert reserved is not None
    assert reserved.holds
    assert request_of("TrainingJob", job_view({"phase": "Failed"}), (), Admission(), reserved=True) is None


# ---- random histories ------------------------------------------------------------------------------------------------

requests = st.builds(
    request,
    st.sampled_from("abcdefghijkl"),
    rank=st.integers(0, 3),
    age=st.integers(0, 2),
    model=st.sampled_from(MODELS),
    namespace=st.sampled_from(NAMESPACES),
    holds=st.booleans(),
)
limits_of = st.builds(
    Admission,
    max_concurrent_jobs=st.integers(0, 4),
    max_concurrent_jobs_per_namespace=st.integers(0, 3),
    namespaces=st.dictionaries(st.sampled_from(NAMESPACES), st.integers(0, 3)),
)
history = st.lists(st.one_of(requests, st.tuples(st.sampled_from("abcdefghijkl"), st.sampled_from(NAMESPACES))))


@settings(max_examples=400, deadline=None)
@given(limits_of, history)
def test_the_queue_follows_the_plain_rule_and_notifies_affected_jobs(
    limits: Admission, changes: list[AdmissionRequest | tuple[str, str]]
) -> None:
    queue, present = AdmissionQueue(limits), dict[str, AdmissionRequest]()
    for change in changes:
        before = {uid: queue.decision(uid) for uid in present}
        if isinstance(change, AdmissionRequest):
            uid = change.uid
            queue.put(replace(change, exclusive_name=present[uid].exclusive_name) if uid in present else change)
            present[uid] = replace(change, exclusive_name=present[uid].exclusive_name) if uid in present else change
        else:
            uid = f"uid-{change[1]}-{change[0]}"
            queue.drop(uid)
            present.pop(uid, None)
        after = {uid: queue.decision(uid) for uid in present}
        assert {uid for uid, decision in after.items() if decision == ADMITTED} == plain_rule(
            [*present.values()], limits
        )
        assert wanted([*present.values()], limits) <= {uid for uid in present if queue.is_wanted(uid)}
        notified, moved = ({each.uid for each in news} for news in queue.take_changes())
        concerned = {
            other
            for other in before.keys() & after.keys() - {uid}
            if before[other] != after[other] and before[other] != ADMITTED
        }
        assert concerned <= notified | moved
        assert {other for other in concerned if after[other] == ADMITTED} <= notified, "they are notified at once"
        if uid not in present:
            assert all(after[other] == ADMITTED for other in notified)
        assert queue.holding == sum(each.holds for each in present.values())
        assert queue.waiting == len(present) - queue.holding


@settings(max_examples=200, deadline=None)
@given(limits_of, st.lists(requests, min_size=1))
def test_positions_follow_the_order_of_waiting_requests(limits: Admission, several: list[AdmissionRequest]) -> None:
    present = {each.uid: each for each in several}
    queue = AdmissionQueue(limits)
    for each in present.values():
        queue.put(each)
    for each in present.values():
        decision = queue.decision(each.uid)
        if isinstance(decision, Waiting):
            scope = each.in_model if decision.reason == "ModelLocked" else each.in_namespace
            waiting = sorted(
                other.order
                for other in present.values()
                if not other.holds and (other.namespace, other.exclusive_name)[: len(scope)] == scope
            )
            assert decision.position == shown_position(1 + waiting.index(each.order))


@settings(max_examples=100, deadline=None)
@given(limits_of, st.lists(requests, min_size=1))
def test_every_job_starts_eventually(limits: Admission, several: list[AdmissionRequest]) -> None:
    """A notified job asks again, starts and ends. In the end no job waits."""
    present = {each.uid: each for each in several}
    queue = AdmissionQueue(limits)
    for each in present.values():
        queue.put(each)
    asks = list(present)
    for _ in range(20 * len(present)):
        for uid in asks:
            entry = queue.get(uid)
            if entry is not None and not entry.holds and queue.decision(uid) == ADMITTED:
                queue.put(replace(entry, holds=True))
        asks = [each.uid for each in queue.take_changes()[0]]
        running = [uid for uid in present if (held := queue.get(uid)) is not None and held.holds]
        if not asks and running:
            queue.drop(running[0])
            asks = [each.uid for each in queue.take_changes()[0]]
    assert queue.waiting == 0
    assert queue.holding == 0
