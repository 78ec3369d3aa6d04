"""Settings of kopf. It lists and watches, and writes nothing."""

import itertools
from collections.abc import Iterator

import kopf

from trainyard_operator.runtime.registry import KINDS

SERVER_TIMEOUT_SECONDS = 240
"""The server ends each watch after this time, so a watch that was not renewed for longer is broken (see freshness)."""
INACTIVITY_SECONDS = 70.0
"""Bookmarks come every 60 s; a stream without any is dead."""
FIRST_BACKOFFS = (1, 2, 5, 10)
LAST_BACKOFF = 20


class Backoffs:
    """Delays between the retries of a request, without end.

    kopf ends completely if one request is given up. A namespace whose list is forbidden must not end the watches of the
    others, and an unreachable API server comes back.
    """

    def __iter__(self) -> Iterator[float]:
        """Return the delays of one request."""
        return itertools.chain(FIRST_BACKOFFS, itertools.repeat(LAST_BACKOFF))


def configure(settings: kopf.OperatorSettings) -> None:
    """Disable all writes of kopf, limit its waits, and let the server filter the children by label."""
    watching = settings.watching
    for watched in KINDS.values():
        if watched.selector:
            resource = watched.resource
            watching.label_selectors[resource.group, resource.version, resource.plural] = watched.selector
    watching.chunk_size = 500
    watching.server_timeout = SERVER_TIMEOUT_SECONDS
    watching.client_timeout = SERVER_TIMEOUT_SECONDS + 60
    watching.inactivity_timeout = INACTIVITY_SECONDS
    watching.connect_timeout = 10
    watching.reconnect_backoff = 1.0
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.networking.error_backoffs = Backoffs()
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.process.ultimate_exiting_timeout = (
        None  # otherwise, an end of kopf would kill the process, which must continue
    )
