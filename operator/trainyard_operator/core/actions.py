"""Actions by annotation. An action has a verb and a token, the status stores its result, and it is performed only once.

Each kind defines its own verbs. The annotation, the token and the result are the same for all kinds.
"""

import re
from typing import Any, Final

from trainyard_api import meta
from trainyard_api.modeldeployment import ModelDeploymentStatus
from trainyard_api.modelversion import ModelVersionStatus
from trainyard_operator.core.objects import ObjectView
from trainyard_operator.core.plan import EventNote

LONGEST: Final = 256
"""Maximum length of ``status.lastHandledAction``."""
KEPT_TOKENS: Final = 32
"""Maximum number of tokens in the schema."""
UNKNOWN: Final = "unknown"

_LONGEST_MESSAGE: Final = 1024
_TOKEN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+-]{0,63}")

ActionStatus = ModelDeploymentStatus | ModelVersionStatus
"""A status with the fields for the results of actions."""


class RefusedError(Exception):
    """The action cannot be performed. The text is one message for the user."""


def pending(view: ObjectView[ActionStatus]) -> str | None:
    """Return the requested action that was not handled yet."""
    text = view.annotations.get(meta.ACTION_ANNOTATION, "")
    return text if text and echo(text) != view.status.last_handled_action else None


def asked_by(view: ObjectView[ActionStatus]) -> str:
    """Return who requested the action: the field manager that wrote the annotation."""
    return view.managers.get(meta.ACTION_ANNOTATION) or UNKNOWN


def echo(text: str) -> str:
    """Return the part of an annotation that the status stores.

    An action was handled if the status contains this text.
    """
    return text[:LONGEST]


def words_of(text: str, how: str) -> list[str]:
    """Return the parts of an action, the token last.

    Raises
    ------
    RefusedError
        If the text does not end with a token. The message contains ``how``.
    """
    words = text.split("/")
    if len(text) > LONGEST or _TOKEN.fullmatch(words[-1]) is None:
        raise no_action(text, how)
    return words


def no_action(text: str, how: str) -> RefusedError:
    """Return the error for a text that is not a verb of this kind."""
    return RefusedError(f"{text[:80]!r} is not a valid action: {how}")


def refuse_used(status: ActionStatus, token: str) -> None:
    """Raise :class:`RefusedError` if the token was used before, by this verb or another one."""
    if token in (status.used_tokens or ()):
        raise RefusedError(f"token {token!r} was used before: use a new one, such as the time")


def handled(status: ActionStatus, text: str, message: str, token: str | None) -> dict[str, Any]:
    """Return the status fields that record a handled action and its result.

    ``token`` is ``None`` for a text that is not a verb. Then no token is stored, and the message contains the error.
    """
    used = status.used_tokens or []
    if token is not None:
        used = [*(known for known in used if known != token), token][-KEPT_TOKENS:]
    return {
        "last_handled_action": echo(text),
        "last_action_message": message[:_LONGEST_MESSAGE],
        "used_tokens": used or None,
    }


def refused_event(text: str, why: str) -> EventNote:
    """Return the Event for an action that was not performed."""
    return EventNote("Warning", "ActionRefused", f"{echo(text)}: {why}", f"action/{echo(text)}")


def refused_message(why: str) -> str:
    """Return the status message for an action that was not performed."""
    return f"refused: {why}"
