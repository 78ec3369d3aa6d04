"""docs/modeldeployment.md says what the code does. That phases change as documented, the state machine sees to."""

import re
from pathlib import Path

import pytest

from tests.unit.operator.runtime import deployment_page
from trainyard_operator.core.actions import RefusedError
from trainyard_operator.core.serving import choice, readiness, verbs
from trainyard_operator.core.serving import health as serving_health
from trainyard_operator.core.serving import planner as model_deployment
from trainyard_operator.core.serving import status as deployment_status
from trainyard_operator.core.serving.deployments import DRAIN_SECONDS

SOURCES = "".join(Path(str(module.__file__)).read_text() for module in (choice, deployment_status, model_deployment))


def test_every_phase_is_reached_and_left() -> None:
    ways = deployment_page.transitions()
    assert {after for _, after in ways} == set(deployment_page.PHASES)


def test_every_verb_is_read() -> None:
    assert deployment_page.verbs() == {"rollback", "promote", "abort", "hold", "release", "retry"}
    for row in deployment_page.table("Verbs"):
        verbs.parse(row[0].strip("`").replace("<version>", "7").replace("<token>", "t1"))
    with pytest.raises(RefusedError):
        verbs.parse("undo/7/t1")


def test_every_reason_is_listed() -> None:
    given = set(re.findall(r"Problem\(\s*\"([A-Za-z]+)\"", SOURCES)) | {deployment_status.AWAITING_PROMOTION}
    blame = {"ProgressDeadlineExceeded", "Unready"}  # of versions, not of the object
    listed = {reason for kind in ("Ready", "Reconciling", "Stalled") for reason in deployment_page.reasons(kind)}
    assert given - blame == listed - {"Serving"} | {"Serving"}


def test_numbers() -> None:
    text = " ".join(deployment_page.PAGE.split())
    *codes, last = (str(int(code)) for code in serving_health.FINAL)
    assert f"exit code {', '.join(codes)} or {last} " in text
    *codes, last = (str(int(code)) for code in sorted(serving_health.OF_THE_STORAGE))
    assert f"exit code {', '.join(codes)} or {last}: the storage" in text
    assert f"never less than {DRAIN_SECONDS} s" in text
    assert f"no ready pod for {readiness.UNREADY_SECONDS:.0f} s" in text
    assert f"get {readiness.RESCHEDULED_SECONDS:.0f} s" in text
    assert f"{serving_health.CRASH_LOOP_RESTARTS} restarts" in text
