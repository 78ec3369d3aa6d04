"""Verb of a ModelVersion: a person validates a version that its gates rejected, with a name and a reason."""

from datetime import datetime
from typing import Final

from trainyard_api import meta
from trainyard_api.modelversion import Overruled
from trainyard_operator.core import actions
from trainyard_operator.core.actions import RefusedError
from trainyard_operator.core.objects import ModelVersionView
from trainyard_operator.core.times import to_rfc3339

VERB: Final = "validate"
_HOW: Final = f"write {VERB}/<token>; a token is any new word, such as the time"
_LONGEST_REASON: Final = 1024


def token_of(text: str) -> str:
    """Return the token of an action.

    Raises
    ------
    RefusedError
        If the text is not an action of a ModelVersion.
    """
    match actions.words_of(text, _HOW):
        case [verb, token] if verb == VERB:
            return token
    raise actions.no_action(text, _HOW)


def overruled(view: ModelVersionView, text: str, now: datetime) -> Overruled:
    """Return the record of a manual decision.

    Raises
    ------
    RefusedError
        With the message, if the decision is refused.
    """
    actions.refuse_used(view.status, token_of(text))
    _refuse_unless_gates_refused(view)
    reason = view.annotations.get(meta.ACTION_REASON_ANNOTATION, "").strip()[:_LONGEST_REASON]
    if not reason:
        raise RefusedError(
            f"give the reason in the annotation {meta.ACTION_REASON_ANNOTATION}, in the same command as the action and "
            "with a new token"
        )
    return Overruled(by=actions.asked_by(view)[:256], reason=reason, time=to_rfc3339(now))


def _refuse_unless_gates_refused(view: ModelVersionView) -> None:
    phase, number = view.status.phase or "Pending", view.spec.get("version")
    match phase:
        case "Rejected" if any(not gate.passed for gate in view.status.gates or ()):
            return
        case "Rejected":
            ready = next((each for each in view.status.conditions or () if each.type == "Ready"), None)
            why = f"{ready.reason}: {ready.message}" if ready is not None else "its status has no reason"
            raise RefusedError(f"no gate rejected this version ({why}), so it cannot be validated by hand")
        case "Pending":
            raise RefusedError("its gates are not judged yet: when they are, repeat the action with a new token")
        case "Quarantined":
            raise RefusedError(
                f"version {number} was quarantined by ModelDeployment {view.status.quarantined_by}: lift the "
                f"quarantine with the action retry/{number}/<token> on that ModelDeployment"
            )
        case _:
            raise RefusedError(f"version {number} is {phase}: only a Rejected version can be validated by hand")
