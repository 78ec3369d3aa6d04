"""Which watches are silent, refused or stuck, and how readiness, liveness and the log report that."""

import logging

import pytest
from prometheus_client import REGISTRY

from tests.unit.operator.shell.test_small import Clock
from trainyard_operator.runtime.registry import KINDS
from trainyard_operator.shell.freshness import GRACE_SECONDS, SILENT_SECONDS, Freshness

PATHS = [f"{watched.resource.base}/{watched.resource.plural}" for watched in KINDS.values()]
BUDGETS = PATHS[-1]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def freshness(clock: Clock) -> Freshness:
    freshness = Freshness((), clock=clock)
    for path in PATHS:
        freshness.opened(path)
    return freshness


def all_listed(freshness: Freshness) -> None:
    for kind in KINDS:
        freshness.listed(kind, None)


def test_ready_after_every_watch_was_opened() -> None:
    freshness = Freshness(())
    freshness.opened("/something/else")
    for path in PATHS:
        assert freshness.readiness() == "the watches are not open yet"
        freshness.opened(path)
    assert freshness.readiness() is None


def test_a_silent_watch_is_not_ready_until_it_is_reopened(clock: Clock, freshness: Freshness) -> None:
    clock.now = SILENT_SECONDS
    for path in PATHS[:-1]:
        freshness.opened(path)
    assert freshness.readiness() is None
    clock.now += 1
    assert freshness.readiness() == "the watch on poddisruptionbudgets was last opened 301 s ago"
    freshness.opened(BUDGETS)
    assert freshness.readiness() is None


def test_a_refused_watch_leaves_the_others_ready() -> None:
    freshness = Freshness(("a", "b"))
    for namespace in ("a", "b"):
        for watched in KINDS.values():
            path = f"{watched.resource.base}/namespaces/{namespace}/{watched.resource.plural}"
            if namespace == "a":
                freshness.opened(path)
            else:
                freshness.refused(path, 403)
    assert freshness.readiness() is None


def test_all_watches_refused_is_not_ready(freshness: Freshness) -> None:
    for path in PATHS:
        freshness.refused(path, 403)
    assert freshness.readiness() == "the API server refuses every watch; check the chart's roles and CRDs"


def test_an_unavailable_api_server_makes_no_watch_stuck(clock: Clock, freshness: Freshness) -> None:
    clock.now = 100 * SILENT_SECONDS
    assert freshness.stuck() is None


def test_a_silent_watch_is_stuck_if_lists_succeed(clock: Clock, freshness: Freshness) -> None:
    clock.now = SILENT_SECONDS + 1
    for path in PATHS[:-1]:
        freshness.opened(path)
    all_listed(freshness)
    clock.now += GRACE_SECONDS
    assert freshness.stuck() is None
    clock.now += 1
    assert freshness.stuck() == "the watch on poddisruptionbudgets was last opened 362 s ago"
    freshness.reopening()
    assert freshness.stuck() is None
    all_listed(freshness)
    clock.now += GRACE_SECONDS + 1
    assert freshness.stuck() is not None, "reopening the watch did not help"
    freshness.opened(BUDGETS)
    assert freshness.stuck() is None


def test_a_silent_watch_is_not_stuck_if_lists_succeeded_only_before(clock: Clock, freshness: Freshness) -> None:
    clock.now = SILENT_SECONDS - 1
    all_listed(freshness)
    clock.now += 2 * GRACE_SECONDS
    assert freshness.readiness() is not None
    assert freshness.stuck() is None


def test_a_refused_watch_is_not_stuck(clock: Clock, freshness: Freshness) -> None:
    freshness.refused(BUDGETS, 403)
    clock.now = SILENT_SECONDS + 1
    for path in PATHS[:-1]:
        freshness.opened(path)
    all_listed(freshness)
    clock.now += GRACE_SECONDS + 1
    assert freshness.stuck() is None


def test_each_change_is_logged_once(clock: Clock, freshness: Freshness, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    freshness.report()
    assert caplog.messages == []
    clock.now = SILENT_SECONDS + 1
    for path in PATHS[:-1]:
        freshness.opened(path)
    for _ in range(3):
        freshness.report()
    assert caplog.messages == [
        "the watch on poddisruptionbudgets was last opened 301 s ago; changes are only seen with the next list"
    ]
    freshness.opened(BUDGETS)
    freshness.report()
    assert caplog.messages[1:] == ["the watch on poddisruptionbudgets is open again"]


def test_the_age_is_a_metric(clock: Clock, freshness: Freshness) -> None:
    labels = {"resource": "poddisruptionbudgets", "namespace": ""}
    clock.now = 42
    assert REGISTRY.get_sample_value("trainyard_watch_age_seconds", labels) == 42
    freshness.opened(BUDGETS)
    assert REGISTRY.get_sample_value("trainyard_watch_age_seconds", labels) == 0
