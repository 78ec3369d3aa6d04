"""Events are shown in the order in which they happened, whichever field kubectl sorts them by."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.api_server import ApiServer
from tests.unit.operator.bodies import read_event
from tests.unit.operator.samples import job_view
from trainyard_operator.core.plan import EventNote
from trainyard_operator.core.times import to_rfc3339
from trainyard_operator.kube.events import event_body
from trainyard_operator.kube.port import CORE_EVENTS, EVENTS, Resource

pytestmark = pytest.mark.cluster

Kubectl = Callable[..., str]
JOB = job_view()
REASONS = ("First", "Second", "OfAJob", "Third", "Fourth")
"""In order of time. The third one comes from another component, as the controllers of Kubernetes write theirs."""


def path(resource: Resource) -> str:
    return f"{resource.base}/namespaces/{JOB.namespace}/{resource.plural}"


def own_event(number: int, now: datetime) -> dict[str, Any]:
    note = EventNote("Normal", REASONS[number], f"message {number}", str(number))
    return event_body("TrainingJob", JOB, note, instance="operator-0", now=now)


def job_event(now: datetime) -> dict[str, Any]:
    about = {"apiVersion": "batch/v1", "kind": "Job", "namespace": JOB.namespace, "name": "a-1", "uid": "u"}
    seen = {"firstTimestamp": to_rfc3339(now), "lastTimestamp": to_rfc3339(now), "count": 1}
    metadata = {"name": "zz.of-a-job", "namespace": JOB.namespace}
    text = {"type": "Normal", "reason": "OfAJob", "message": "Created pod", "source": {"component": "job-controller"}}
    return {"apiVersion": "v1", "kind": "Event", "metadata": metadata, "involvedObject": about, **text, **seen}


@pytest.fixture
def server(crds: Path, tmp_path: Path, kubectl: Kubectl) -> Iterator[ApiServer]:
    """Yield a connection, and create Events of the sample job in a namespace: one each second, the newest first."""
    server = ApiServer(crds, tmp_path)
    kubectl("create", "namespace", JOB.namespace)
    begin = datetime.now(UTC).replace(microsecond=900_000) - timedelta(minutes=5)
    for number in reversed(range(len(REASONS))):
        now = begin + timedelta(seconds=number)
        body = job_event(now) if REASONS[number] == "OfAJob" else own_event(number, now)
        code, answer = server.request("POST", path(CORE_EVENTS), body, fieldValidation="Strict")
        assert code == 201, answer
    yield server
    server.close()
    kubectl("delete", "namespace", JOB.namespace)


def test_kubectl_shows_events_in_the_order_of_time(server: ApiServer, kubectl: Kubectl) -> None:
    reasons = "custom-columns=R:.reason"
    by_time = kubectl("get", "events", "-n", JOB.namespace, "--sort-by=.lastTimestamp", "-o", reasons, "--no-headers")
    assert by_time.split() == list(REASONS)
    shown = kubectl("events", "-n", JOB.namespace, "--no-headers").splitlines()
    assert [line.split()[2] for line in shown] == list(REASONS)
    assert all(line.split()[0].startswith(("4m", "5m", "6m")) for line in shown), "LAST SEEN"
    own = kubectl("events", "-n", JOB.namespace, f"--for=trainingjob.trainyard.dev/{JOB.name}", "--no-headers")
    assert [line.split()[2] for line in own.splitlines()] == [each for each in REASONS if each != "OfAJob"]

    code, answer = server.request("POST", path(CORE_EVENTS), own_event(0, datetime.now(UTC)))
    assert (code, answer["reason"]) == (409, "AlreadyExists"), "two writes give one Event"

    code, found = server.request("GET", path(EVENTS), fieldSelector=f"regarding.uid={JOB.uid},reason=First")
    assert code == 200
    (event,) = found["items"]
    wanted = read_event(own_event(0, datetime.now(UTC)))
    same = {key: value for key, value in wanted.items() if not key.endswith(("Time", "Timestamp"))}
    assert {key: event[key] for key in same if key not in ("apiVersion", "kind", "metadata")} == {
        key: value for key, value in same.items() if key not in ("apiVersion", "kind", "metadata")
    }, "both API groups return the same object"
    assert json.dumps(event).count("message 0") == 1
