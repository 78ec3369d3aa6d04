"""docs/modeldeployment.md describes the code. The state machine checks the changes of phase."""

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


def test_every_phase_is_documented() -> None:
    changes = deployment_page.transitions()
    assert {after for _, after in changes} == set(deployment_page.PHASES)


def test_every_action_is_documented() -> None:
    assert deployment_page.verbs() == {"rollback", "promote", "abort", "hold", "release", "retry"}
    for row in deployment_page.table("Verbs"):
        verbs.parse(row[0].strip("`").replace("<version>", "7").replace("<token>", "t1"))
    with pytest.raises(RefusedError):
        verbs.parse("undo/7/t1")


def test_every_reason_is_documented() -> None:
    given = set(re.findall(r"Problem\(\s*\"([A-Za-z]+)\"", SOURCES)) | {deployment_status.AWAITING_PROMOTION}
    version_reasons = {"ProgressDeadlineExceeded", "Unready"}  # reasons of versions, not of the ModelDeployment
    listed = {reason for kind in ("Ready", "Reconciling", "Stalled") for reason in deployment_page.reasons(kind)}
    assert given - version_reasons == listed - {"Serving"} | {"Serving"}


def test_limits_on_the_page_are_those_of_the_code() -> None:
    text = " ".join(deployment_page.PAGE.split())
    *codes, last = (str(int(code)) for code in serving_health.FINAL)
    assert f"exit code {', '.join(codes)} or {last} " in text
    *codes, last = (str(int(code)) for code in sorted(serving_health.OF_THE_STORAGE))
    assert f"exit code {', '.join(codes)} or {last}: the storage" in text
    assert f"never less than {DRAIN_SECONDS} s" in text
    assert f"no ready pod for {readiness.UNREADY_SECONDS:.0f} s" in text
    assert f"get {readiness.RESCHEDULED_SECONDS:.0f} s" in text
    assert f"{serving_health.CRASH_LOOP_RESTARTS} restarts" in text
