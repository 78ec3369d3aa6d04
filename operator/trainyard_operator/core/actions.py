"""Verbs by annotation: a text with a token asks, the status answers, and the same text is never carried out twice.

What a verb does is each kind's own affair; how it is asked for and answered is the same for all kinds.
"""

import re
from typing import Any, Final

from trainyard_api import meta
from trainyard_api.modeldeployment import ModelDeploymentStatus
from trainyard_api.modelversion import ModelVersionStatus
from trainyard_operator.core.objects import ObjectView
from trainyard_operator.core.plan import EventNote

LONGEST: Final = 256
"""What ``status.lastHandledAction`` holds."""
KEPT_TOKENS: Final = 32
"""As many as the schema takes."""
UNKNOWN: Final = "unknown"

_LONGEST_MESSAGE: Final = 1024
_TOKEN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+-]{0,63}")

Answering = ModelDeploymentStatus | ModelVersionStatus
"""A status with the fields that answer verbs."""


class RefusedError(Exception):
    """The verb cannot be carried out; the text is one sentence for the user."""


def pending(view: ObjectView[Answering]) -> str | None:
    """Return the action that was asked for and not answered yet."""
    text = view.annotations.get(meta.ACTION_ANNOTATION, "")
    return text if text and echo(text) != view.status.last_handled_action else None


def asked_by(view: ObjectView[Answering]) -> str:
    """Return who asked: the field manager that wrote the annotation."""
    return view.managers.get(meta.ACTION_ANNOTATION) or UNKNOWN


def echo(text: str) -> str:
    """Return what the status keeps of an annotation, so that equality tells that it was handled."""
    return text[:LONGEST]


def words_of(text: str, how: str) -> list[str]:
    """Return the parts of an action, the token last.

    Raises
    ------
    RefusedError
        For a text that ends with no token, with ``how`` to write one.
    """
    words = text.split("/")
    if len(text) > LONGEST or _TOKEN.fullmatch(words[-1]) is None:
        raise no_action(text, how)
    return words


def no_action(text: str, how: str) -> RefusedError:
    """Return the refusal of a text that is no verb of this kind."""
    return RefusedError(f"{text[:80]!r} is no action: {how}")


def refuse_used(status: Answering, token: str) -> None:
    """Raise :class:`RefusedError` for a token that comes back, with another verb or out of Git after other wishes."""
    if token in (status.used_tokens or ()):
        raise RefusedError(f"token {token!r} was used before: take a new one, such as the time")


def handled(status: Answering, text: str, message: str, token: str | None) -> dict[str, Any]:
    """Return the fields of the status that say that an action was handled, and what came of it.

    ``token`` is ``None`` for a text that is no verb: there is nothing to remember, the message says what is wrong.
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
    """Return the Event that tells that an action was not carried out."""
    return EventNote("Warning", "ActionRefused", f"{echo(text)}: {why}", f"action/{echo(text)}")


def refused_message(why: str) -> str:
    """Return what the status says of an action that was not carried out."""
    return f"refused: {why}"
