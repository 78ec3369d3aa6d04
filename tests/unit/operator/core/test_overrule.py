"""A user validates a rejected version by the action ``validate``, which needs a reason. Its gate results stay."""

from dataclasses import replace

import pytest

from tests.unit.operator.core.test_model_version import after, events_of, ready, types
from tests.unit.operator.core.versions import STAMP, deployment, failed_gate, judged, rejected, version, with_action
from trainyard_operator.core.objects import ModelVersionView


def test_an_overruled_version_is_validated_and_keeps_its_gates() -> None:
    view = with_action(failed_gate(3), "validate/t1")
    status, step = after(view)
    assert (status.phase, ready(status).reason, types(status)) == ("Validated", "Overruled", {"Ready": "True"})
    assert ready(status).message == "validated by ann: a new shop; gates not met: mae 2.5: required <= 2"
    assert (status.gates, status.judged_time) == (view.status.gates, view.status.judged_time)
    assert status.overruled is not None
    assert status.overruled.wire() == {"by": "ann", "reason": "a new shop", "time": STAMP}
    assert (status.last_handled_action, status.last_action_message) == ("validate/t1", "validated by ann")
    assert status.used_tokens == ["t1"]
    assert events_of(step) == [("Normal", "Overruled")]


@pytest.mark.parametrize(
    ("view", "text", "reason", "message"),
    [
        (failed_gate(3), "validate/t1", None, "the reason in the annotation trainyard.dev/action-reason"),
        (failed_gate(3), "validate/t1", "  ", "the reason in the annotation trainyard.dev/action-reason"),
        (failed_gate(3), "validate", "x", "'validate' is not a valid action: write validate/<token>"),
        (failed_gate(3), "validate/", "x", "'validate/' is not a valid action"),
        (failed_gate(3), "validate/3/t1", "x", "is not a valid action"),
        (failed_gate(3), "promote/t1", "x", "is not a valid action"),
        (failed_gate(3), "validate/" + "t" * 300, "x", "is not a valid action"),
        (version(3), "validate/t1", "x", "its gates are not judged yet"),
        (judged(3), "validate/t1", "x", "version 3 is Validated"),
        (judged(3, "Rejected"), "validate/t1", "x", "no gate rejected this version"),
        (
            version(3, {"phase": "Quarantined", "quarantinedBy": "shop"}),
            "validate/t1",
            "x",
            "the action retry/3/<token> on that ModelDeployment",
        ),
    ],
)
def test_an_invalid_action_is_refused_once(view: ModelVersionView, text: str, reason: str | None, message: str) -> None:
    view = replace(view, status=view.status.model_copy(update={"observed_generation": 1}))
    if view.status.phase == "Pending":  # store its status first: it waits for an earlier version
        view = replace(view, status=after(view, version(1))[0])
    status, step = after(with_action(view, text, reason), *([version(1)] if view.is_pending else []))
    assert status.last_action_message is not None
    assert status.last_action_message.startswith("refused: ")
    assert message in status.last_action_message
    assert status.last_handled_action == text[:256]
    assert events_of(step) == [("Warning", "ActionRefused")]
    unchanged = {"last_handled_action": None, "last_action_message": None, "used_tokens": None}
    assert status.model_copy(update=unchanged) == view.status


def test_a_token_is_accepted_once() -> None:
    refused, _ = after(with_action(failed_gate(3), "validate/t1", None))
    again = replace(failed_gate(3), status=refused)
    status, _ = after(with_action(again, "validate/t2"))
    assert (status.phase, status.used_tokens) == ("Validated", ["t1", "t2"])
    back = replace(failed_gate(3), status=refused.model_copy(update={"last_handled_action": "validate/t9"}))
    status, _ = after(with_action(back, "validate/t1"))
    assert status.phase == "Rejected"
    assert "token 't1' was used before" in (status.last_action_message or "")


def test_an_overruled_version_can_be_quarantined() -> None:
    status, _ = after(with_action(failed_gate(3), "validate/t1"))
    view = with_action(replace(failed_gate(3), status=status), "validate/t1")
    left, _ = after(view, deployment(rejectedVersions=[rejected(3)]))
    assert left.phase == "Quarantined"
    assert left.overruled == status.overruled
