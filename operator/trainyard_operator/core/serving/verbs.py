"""The verbs of a ModelDeployment: one line in an annotation, read by one parser for kubectl, Argo CD and the CLI."""

import re
from dataclasses import dataclass
from typing import Final, Literal

PlainVerb = Literal["promote", "abort", "hold", "release"]

LONGEST: Final = 256
"""What ``status.lastHandledAction`` holds."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+-]{0,63}")
_VERSION: Final = re.compile(r"[1-9][0-9]{0,14}")
_HOW: Final = (
    "write rollback/<version|previous>/<token>, retry/<version>/<token>, or promote, abort, hold or release "
    "followed by /<token>; a token is any new word, such as the time"
)


class RefusedError(Exception):
    """The verb cannot be carried out; the text is one sentence for the user."""


@dataclass(frozen=True)
class Rollback:
    """Serve this version again; none: the one before."""

    version: int | None
    token: str


@dataclass(frozen=True)
class Retry:
    """Lift the rejection of a version and try it again."""

    version: int
    token: str


@dataclass(frozen=True)
class Plain:
    """A verb that speaks of the ModelDeployment as it is."""

    verb: PlainVerb
    token: str


Verb = Rollback | Retry | Plain


def echo(text: str) -> str:
    """Return what the status keeps of an annotation, so that equality tells that it was handled."""
    return text[:LONGEST]


def parse(text: str) -> Verb:
    """Read an annotation. Raises :class:`RefusedError` for what is no verb."""
    parts = text.split("/")
    if len(text) > LONGEST or _TOKEN.fullmatch(parts[-1]) is None:
        raise RefusedError(f"{text[:80]!r} is no action: {_HOW}")
    match parts:
        case ["rollback", "previous", token]:
            return Rollback(None, token)
        case ["rollback", version, token] if _VERSION.fullmatch(version):
            return Rollback(int(version), token)
        case ["retry", version, token] if _VERSION.fullmatch(version):
            return Retry(int(version), token)
        case [("promote" | "abort" | "hold" | "release") as verb, token]:
            return Plain(verb, token)
    raise RefusedError(f"{text[:80]!r} is no action: {_HOW}")
