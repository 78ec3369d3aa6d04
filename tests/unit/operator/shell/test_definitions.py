"""The operator reports whether the custom resource definitions in the cluster are its own."""

import copy
import logging
from typing import Any

import pytest

from trainyard_api import GROUP, VERSION
from trainyard_api.crd import custom_resource_definition
from trainyard_api.kinds import KINDS
from trainyard_operator.kube.errors import ForbiddenError, NotFoundError
from trainyard_operator.shell import definitions
from trainyard_operator.shell.definitions import CURRENT, PATH, compare, report_definitions


def described() -> dict[str, Any]:
    """Return the OpenAPI document of an API server with our own definitions."""
    schemas = {}
    for kind in KINDS:
        [version] = custom_resource_definition(kind)["spec"]["versions"]
        names = [{"group": GROUP, "version": VERSION, "kind": kind.kind}]
        schemas[kind.kind] = {**version["schema"]["openAPIV3Schema"], "x-kubernetes-group-version-kind": names}
    return copy.deepcopy({"components": {"schemas": schemas}})


class Documents:
    def __init__(self, *responses: Any) -> None:
        self.responses = list(responses)

    async def read(self, path: str) -> dict[str, Any]:
        assert path == PATH
        response = self.responses.pop(0)
        if isinstance(response, Exception):
            raise response
        found: dict[str, Any] = response
        return found


async def test_the_current_definitions_are_recognised(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await report_definitions(Documents(described()))
    assert "the custom resource definitions are those of release" in caplog.text
    assert CURRENT._value.get() == 1


async def test_a_field_that_older_definitions_lack_is_named(caplog: pytest.LogCaptureFixture) -> None:
    older = described()
    status = older["components"]["schemas"]["TrainingJob"]["properties"]["status"]["properties"]
    del status["attempts"]["items"]["properties"]["reason"]
    await report_definitions(Documents(older))
    [record] = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "they lack trainingjobs status.attempts[].reason, " in record.message
    assert "crds.install=true" in record.message
    assert CURRENT._value.get() == 0


def test_newer_definitions_are_accepted() -> None:
    newer = described()
    newer["components"]["schemas"]["ModelVersion"]["properties"]["spec"]["properties"]["colour"] = {"type": "string"}
    assert compare(newer) == ([], ["modelversions spec.colour"])


def test_definitions_that_lack_a_kind_are_not_compared_yet() -> None:
    early = described()
    del early["components"]["schemas"]["ModelDeployment"]
    assert compare(early) is None
    assert compare({}) is None


async def test_the_check_waits_for_the_definitions_and_accepts_a_refusal(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(definitions, "AGAIN_SECONDS", 0)
    documents = Documents(NotFoundError(404, "NotFound", ""), {}, described())
    await report_definitions(documents)
    assert not documents.responses
    await report_definitions(Documents(ForbiddenError(403, "Forbidden", "no")))
    assert "cannot be checked: 403 Forbidden: no" in caplog.text
