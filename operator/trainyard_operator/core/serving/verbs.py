"""Verbs of a ModelDeployment: one line in an annotation, with one parser for kubectl, Argo CD and the CLI."""

import re
from dataclasses import dataclass
from typing import Final, Literal

from trainyard_operator.core import actions

PlainVerb = Literal["promote", "abort", "hold", "release"]

_VERSION: Final = re.compile(r"[1-9][0-9]{0,14}")
_HOW: Final = (
    "write rollback/<version|previous>/<token>, retry/<version>/<token>, or promote, abort, hold or release "
    "followed by /<token>; a token is any new word, such as the time"
)


@dataclass(frozen=True)
class Rollback:
    """Serve this version again. ``None`` means the previous version."""

    version: int | None
    token: str


@dataclass(frozen=True)
class Retry:
    """Lift the rejection of a version and try it again."""

    version: int
    token: str


@dataclass(frozen=True)
class Plain:
    """A verb that applies to the ModelDeployment as a whole."""

    verb: PlainVerb
    token: str


Verb = Rollback | Retry | Plain


def parse(text: str) -> Verb:
    """Return the parsed verb of an annotation.

    Raises
    ------
    RefusedError
        If the text is not a verb.
    """
    match actions.words_of(text, _HOW):
        case ["rollback", "previous", token]:
            return Rollback(None, token)
        case ["rollback", version, token] if _VERSION.fullmatch(version):
            return Rollback(int(version), token)
        case ["retry", version, token] if _VERSION.fullmatch(version):
            return Retry(int(version), token)
        case [("promote" | "abort" | "hold" | "release") as verb, token]:
            return Plain(verb, token)
    raise actions.no_action(text, _HOW)
