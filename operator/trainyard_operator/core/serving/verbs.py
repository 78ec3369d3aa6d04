"""Verbs of a ModelDeployment: one line in an annotation, with one parser for kubectl, Argo CD and the CLI."""

import re
from dataclasses import dataclass
from typing import Final, Literal

from trainyard_operator.core import actions

PlainVerbName = Literal["promote", "abort", "hold", "release"]

_VERSION: Final = re.compile(r"[1-9][0-9]{0,14}")
_HOW: Final = (
    "write rollback/<version|previous>/<token>, retry/<version>/<token>, or promote, abort, hold or release "
    "followed by /<token>; a token is any new word, such as the time"
)


@dataclass(frozen=True)
class RollbackVerb:
    """Serve this version again. ``None`` means the previous version."""

    version: int | None
    token: str


@dataclass(frozen=True)
class RetryVerb:
    """Lift the rejection of a version and try it again."""

    version: int
    token: str


@dataclass(frozen=True)
class PlainVerb:
    """A verb that applies to the ModelDeployment as a whole."""

    verb: PlainVerbName
    token: str


Verb = RollbackVerb | RetryVerb | PlainVerb


def parse(text: str) -> Verb:
    """Return the parsed verb of an annotation.

    Raises
    ------
    RefusedError
        If the text is not a verb.
    """
    match actions.words_of(text, _HOW):
        case ["rollback", "previous", token]:
            return RollbackVerb(None, token)
        case ["rollback", version, token] if _VERSION.fullmatch(version):
            return RollbackVerb(int(version), token)
        case ["retry", version, token] if _VERSION.fullmatch(version):
            return RetryVerb(int(version), token)
        case [("promote" | "abort" | "hold" | "release") as verb, token]:
            return PlainVerb(verb, token)
    raise actions.no_action(text, _HOW)
