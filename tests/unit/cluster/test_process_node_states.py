"""Pod status from container states, and addresses: the pure parts of the process node."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cluster.process_node.addresses import claim_address, node_addresses, pod_addresses
from cluster.process_node.states import ContainerRecord, Progress, Running, Terminated, Waiting, phase, pod_status

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
WAITING = ContainerRecord("c", "i", Waiting("ContainerCreating"))
RUNNING = ContainerRecord("c", "i", Running(NOW), ready=True, started=True)


def ended(code: int, *, done: bool = True) -> ContainerRecord:
    return ContainerRecord("c", "i", Terminated(code, "Error" if code else "Completed", "bye", NOW, NOW), done=done)


CRASHING = replace(WAITING, state=Waiting("CrashLoopBackOff"), last_state=Terminated(1, "Error", "", NOW, NOW))


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
    assert phase(Progress(init, main)) == expected


def status(*main: ContainerRecord, before: list[dict[str, Any]] | None = None, now: datetime = NOW) -> dict[str, Any]:
    return pod_status(Progress([], main), ("127.64.0.1", "127.64.1.0"), NOW, before or [], now)


def test_status_of_an_ended_container() -> None:
    written = status(ended(65))
    assert written["containerStatuses"][0]["state"]["terminated"] == {
        "exitCode": 65,
        "reason": "Error",
        "message": "bye",
        "startedAt": "2026-01-02T03:04:05Z",
        "finishedAt": "2026-01-02T03:04:05Z",
    }
    assert written["phase"] == "Failed"


def test_conditions_keep_their_time_until_they_change() -> None:
    first = status(WAITING)
    later = status(RUNNING, before=first["conditions"], now=NOW + timedelta(seconds=9))
    times = {each["type"]: (each["status"], each["lastTransitionTime"]) for each in later["conditions"]}
    assert times["Initialized"] == ("True", "2026-01-02T03:04:05Z")
    assert times["Ready"] == ("True", "2026-01-02T03:04:14Z")
    assert status(RUNNING, before=later["conditions"], now=NOW + timedelta(seconds=60)) == later


def test_a_defect_of_the_node_is_the_reason_of_the_pod() -> None:
    written = pod_status(Progress([], [RUNNING], "a defect"), ("a", "b"), NOW, [], NOW)
    assert (written["phase"], written["reason"], written["message"]) == ("Failed", "ProcessNodeError", "a defect")


def test_two_nodes_never_share_an_address() -> None:
    first, one = claim_address()
    second, other = claim_address()
    with first, second:
        assert one != other
        assert {one, other} <= set(node_addresses()), "their certificate covers it"


def test_each_pod_has_an_address_of_its_own() -> None:
    addresses = pod_addresses("127.64.0.1")
    assert [next(addresses), next(addresses)] == ["127.64.1.0", "127.64.1.1"]
