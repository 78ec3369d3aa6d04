"""Check whether the custom resource definitions in the cluster match this release.

The API server silently drops status fields that its definitions do not have. Nothing else would show that an upgrade
did not update the definitions.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from prometheus_client import Gauge

from trainyard_api import GROUP, VERSION
from trainyard_api.crd import custom_resource_definition
from trainyard_api.kinds import KINDS
from trainyard_operator.kube.errors import ApiError, ForbiddenError
from trainyard_operator.progress.keys import Documents

PATH = f"/openapi/v3/apis/{GROUP}/{VERSION}"
"""Every service account may read it."""
AGAIN_SECONDS = 10.0
"""Delay before the next read. The API server publishes a schema some time after it serves the kind."""
PARTS = ("spec", "status")

CURRENT = Gauge(
    "trainyard_definitions_current",
    "1 if the custom resource definitions have every field that this release knows, else 0",
)

log = logging.getLogger(__name__)


async def report_definitions(documents: Documents) -> None:
    """Report once whether the definitions match. Wait for a response as long as necessary."""
    while True:
        try:
            found = compare(await documents.read(PATH))
        except ForbiddenError as error:
            log.warning("the custom resource definitions cannot be checked: %s", error)
            return
        except ApiError as error:
            log.debug("the custom resource definitions cannot be checked yet: %s", error)
            found = None
        if found is not None:
            _report(*found)
            return
        await asyncio.sleep(AGAIN_SECONDS)


def compare(document: Mapping[str, Any]) -> tuple[list[str], list[str]] | None:
    """Return the missing and the additional fields of the served definitions, ``None`` if a kind is missing."""
    lacks, beyond = list[str](), list[str]()
    for kind in KINDS:
        served = _schema(document, kind.kind)
        if served is None:
            return None
        own = custom_resource_definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        ours, theirs = ({path for part in PARTS for path in _paths(_part(each, part), part)} for each in (own, served))
        lacks += [f"{kind.plural} {path}" for path in sorted(ours - theirs)]
        beyond += [f"{kind.plural} {path}" for path in sorted(theirs - ours)]
    return lacks, beyond


def _report(lacks: list[str], beyond: list[str]) -> None:
    release = version("trainyard")
    CURRENT.set(float(not lacks))
    if lacks:
        log.warning(
            "the custom resource definitions are not those of release %s: they lack %s, so the API server drops these "
            "fields. Apply the definitions of this release: helm upgrade with crds.install=true, or kubectl apply "
            "-f crds/",
            release,
            _few(lacks),
        )
    elif beyond:
        log.info(
            "the custom resource definitions are newer than release %s: it does not know %s", release, _few(beyond)
        )
    else:
        log.info("the custom resource definitions are those of release %s", release)


def _few(fields: list[str]) -> str:
    more = f" and {len(fields) - 3} more" if len(fields) > 3 else ""
    return ", ".join(fields[:3]) + more


def _schema(document: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    wanted = {"group": GROUP, "version": VERSION, "kind": kind}
    schemas: Mapping[str, Any] = (document.get("components") or {}).get("schemas") or {}
    return next((each for each in schemas.values() if wanted in each.get("x-kubernetes-group-version-kind", ())), None)


def _part(schema: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part: Mapping[str, Any] = (schema.get("properties") or {}).get(name) or {}
    return part


def _paths(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    """Yield the path of each field below a schema."""
    for name, below in (schema.get("properties") or {}).items():
        yield f"{path}.{name}"
        yield from _paths(below, f"{path}.{name}")
    if isinstance(schema.get("items"), Mapping):
        yield from _paths(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), Mapping):
        yield from _paths(schema["additionalProperties"], f"{path}.*")
