"""Pod status from container states, and addresses: the pure parts of the process node."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from cluster.process_node.addresses import claim_address, node_addresses, pod_addresses
from cluster.process_node.states import ContainerRecord, phase, pod_status, running, terminated, waiting

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
WAITING = ContainerRecord("c", "i", waiting("ContainerCreating"))
RUNNING = ContainerRecord("c", "i", running(NOW), ready=True, started=True)


def ended(code: int, *, done: bool = True) -> ContainerRecord:
    return ContainerRecord("c", "i", terminated(code, "Error" if code else "Completed", "bye", NOW), done=done)


CRASHING = replace(WAITING, state=waiting("CrashLoopBackOff"), last_state=ended(1).state)


@pytest.mark.parametrize(
    ("init", "main", "expected"),
    [
        ([], [WAITING], "Pending"),
        ([], [RUNNING, WAITING], "Pending"),
        ([RUNNING], [WAITING], "Pending"),
        ([ended(0)], [RUNNING], "Running"),
        ([ended(1)], [WAITING], "Failed"),
        ([], [CRASHING], "Running"),
        ([], [ended(0), RUNNING], "Running"),
        ([], [ended(1, done=False)], "Running"),
        ([], [ended(0), ended(0)], "Succeeded"),
        ([], [ended(0), ended(65)], "Failed"),
    ],
)
def test_phase(init: list[ContainerRecord], main: list[ContainerRecord], expected: str) -> None:
    assert phase(init, main) == expected


def test_status_of_an_ended_container() -> None:
    written = pod_status([], [ended(65)], {"podIP": "127.64.1.0"}, {})
    state = written["containerStatuses"][0]["state"]["terminated"]
    assert (state["exitCode"], state["reason"], state["message"]) == (65, "Error", "bye")
    assert state["startedAt"] == "2026-01-02T03:04:05Z"
    assert (written["phase"], written["podIP"]) == ("Failed", "127.64.1.0")


def test_the_condition_keeps_its_time_until_it_changes() -> None:
    def condition(record: ContainerRecord, status: str) -> dict[str, str]:
        before = {"conditions": [{"type": "Ready", "status": status, "lastTransitionTime": "before"}]}
        return dict(pod_status([], [record], {}, before)["conditions"][0])

    assert condition(RUNNING, "True")["lastTransitionTime"] == "before"
    assert condition(RUNNING, "False")["lastTransitionTime"] != "before"
    assert condition(WAITING, "False")["reason"] == "ContainersNotReady"


def test_two_nodes_never_share_an_address() -> None:
    first, one = claim_address()
    second, other = claim_address()
    with first, second:
        assert one != other
        assert {one, other} <= set(node_addresses()), "their certificate covers it"


def test_each_pod_has_an_address_of_its_own() -> None:
    addresses = pod_addresses("127.64.0.1")
    assert [next(addresses), next(addresses)] == ["127.64.1.0", "127.64.1.1"]
