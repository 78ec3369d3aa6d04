"""The real API server validates the corpus. It must agree with pydantic on every object."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.api_server import ApiServer
from tests.unit.api.bounds import bound_cases
from tests.unit.api.cases import (
    Case,
    Object,
    bases,
    free_transitions,
    kind_of,
    pydantic_verdict,
    rule_cases,
    transitions,
)
from tests.unit.api.test_examples import EXAMPLES
from trainyard_api import API_VERSION
from trainyard_api.generate import checkout
from trainyard_api.kinds import KINDS, TRAINING_JOB, KindDefinition
from trainyard_api.schema import nodes, structural

pytestmark = pytest.mark.cluster

NAMESPACE = "default"
Kubectl = Callable[..., str]


def collection(thing: Object) -> str:
    return f"/apis/{API_VERSION}/namespaces/{NAMESPACE}/{kind_of(thing).plural}"


def url(thing: Object) -> str:
    return f"{collection(thing)}/{thing['metadata']['name']}"


class Judge:
    """Validates objects with the API server, as a dry run. ``stored`` ones stay, for the tests that change them."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        self._stored: dict[str, Object] = {}

    def verdict(self, case: Case) -> str | None:
        if case.part == "status":
            thing = self._with_version(case.object, self.stored(case.object))
            return self._ask("PUT", f"{url(thing)}/status", thing)
        return self._ask("POST", collection(case.object), case.object)

    def change(self, before: Object, after: Object) -> str | None:
        """Return the API server's message against a change of a stored object, or ``None``. It is a dry run."""
        return self._ask("PUT", url(before), self._with_version(after, self.stored(before)))

    def stored(self, thing: Object) -> Object:
        key = url(thing)
        if key not in self._stored:
            spec_only = {key: value for key, value in thing.items() if key != "status"}
            code, response = self.server.request("POST", collection(thing), spec_only, fieldValidation="Strict")
            assert code == 201, response
            self._stored[key] = response
        return self._stored[key]

    def close(self) -> None:
        for key in self._stored:
            self.server.request("DELETE", key)
        self.server.close()

    def _ask(self, method: str, path: str, thing: Object) -> str | None:
        code, response = self.server.request(method, path, thing, dryRun="All", fieldValidation="Strict")
        if code in {200, 201}:
            return None
        assert code in {400, 422}, response
        return str(response["message"])

    @staticmethod
    def _with_version(thing: Object, stored: Object) -> Object:
        version = stored["metadata"]["resourceVersion"]
        return {**thing, "metadata": {**thing["metadata"], "resourceVersion": version}}


@pytest.fixture(scope="module")
def judge(crds: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    judge = Judge(ApiServer(crds, tmp_path_factory.mktemp("credentials")))
    yield judge
    judge.close()


def assert_agreement(case: Case, said: str | None) -> None:
    """Fail unless the API server's result is the one of the corpus and of pydantic."""
    if case.unsettled:
        other = pydantic_verdict(case.object, case.part)
        assert (said is None) == (other is None), f"API server: {said}; pydantic: {other}"
    elif case.refusal is None:
        assert said is None
    else:
        assert said is not None, f"accepted: {case.object[case.part]}"
        assert case.refusal in said


@pytest.mark.parametrize("case", list(rule_cases()), ids=lambda case: case.name)
def test_the_api_server_agrees_on_the_written_cases(judge: Judge, case: Case) -> None:
    assert_agreement(case, judge.verdict(case))


def test_the_api_server_agrees_on_the_bounds(judge: Judge) -> None:
    wrong = []
    for case in bound_cases():
        try:
            assert_agreement(case, judge.verdict(case))
        except AssertionError as error:
            wrong.append(f"{case.name}: {error}")
    assert not wrong, "\n".join(wrong)


def test_bases_are_stored_as_written(judge: Judge) -> None:
    """Nothing is pruned. Only scalar defaults are added, and sections that have defaults of their own."""
    for thing in bases().values():
        stored = judge.stored(thing)
        kind = kind_of(thing)
        fields = structural(kind.spec)["properties"]
        sections: Object = {name: {} for name, field in fields.items() if field.get("default") == {}}
        assert kind.spec.model_validate(stored["spec"]) == kind.spec.model_validate({**sections, **thing["spec"]})
        assert stored["status"] == {"observedGeneration": -1, **kind.first_status}


def test_omitted_sections_stay_omitted(judge: Judge) -> None:
    spec = judge.stored(bases()["small"])["spec"]
    expected = {"mode": "Train", "workers": 0, "shards": 1, "priority": "Normal", "suspend": False, "cancel": False}
    data = {"uri": "s3://datasets/diabetes.csv", "target": "target", "format": "Auto"}
    assert spec == {"framework": "LightGBM", "task": "Regression", "data": data, **expected}


def immutable_changes() -> Iterator[tuple[str, Object, Object]]:
    """Yield ``field, before, after`` for each immutable field: changed, removed, added."""
    owner = {"auto": "automatic", "script": "script-inline", "command": "container", "threshold": "classes"}
    known = {field.alias: field for field in TRAINING_JOB.spec.model_fields.values()}
    for field, value in transitions()["immutable"].items():
        full, small = bases()[owner.get(field, "forecast")], bases()["small"]
        yield field, full, with_field(full, field, value)
        if known[field].is_required():
            continue
        yield field, small, with_field(small, field, value)
        if full["spec"][field] != known[field].default:  # if they are equal, the API server adds the same default again
            yield field, full, with_field(full, field, None)


def with_field(thing: Object, field: str, value: Any) -> Object:
    after = copy.deepcopy(thing)
    if value is None:
        del after["spec"][field]
    else:
        after["spec"][field] = value
    return after


def test_what_defines_the_model_is_immutable(judge: Judge) -> None:
    wrong = []
    for field, before, after in immutable_changes():
        said = judge.change(before, after)
        if said is None or f"spec.{field} is immutable: create a new TrainingJob" not in said:
            wrong.append(f"{field}: {said}")
    assert not wrong, "\n".join(wrong)


def test_a_nested_change_in_a_free_form_field_is_detected(judge: Judge) -> None:
    before = bases()["forecast"]
    after = copy.deepcopy(before)
    after["spec"]["parameters"]["nested"]["list"][2] = False
    assert "spec.parameters is immutable" in (judge.change(before, after) or "")


def test_the_same_object_again_is_no_change(judge: Judge) -> None:
    for thing in bases().values():
        assert judge.change(thing, thing) is None


def test_other_fields_are_mutable(judge: Judge) -> None:
    for field, value in transitions()["mutable"].items():
        for name in ("small", "forecast"):
            before = bases()[name]
            assert judge.change(before, with_field(before, field, value)) is None, field


def test_cancel_cannot_be_undone(judge: Judge) -> None:
    before = bases()["small"]
    before["metadata"]["name"] = "cancelled"
    before["spec"]["cancel"] = True
    for value in (False, None):
        said = judge.change(before, with_field(before, "cancel", value))
        assert said is not None
        assert "spec.cancel: Invalid value" in said
        assert "cancel cannot be undone: create a new TrainingJob" in said
    assert judge.change(before, with_field(before, "priority", "Low")) is None


def test_a_template_may_change_but_must_not_cancel(judge: Judge) -> None:
    """A template may change fields that are immutable in a TrainingJob. Only ``cancel`` is not allowed in it."""
    before = bases()["scheduled-forecast"]
    template = {"spec": bases()["small"]["spec"]}
    assert judge.change(before, with_field(before, "template", template)) is None
    template["spec"]["cancel"] = True
    assert "a template must not cancel" in (judge.change(before, with_field(before, "template", template)) or "")


def test_schedules_and_deployments_may_change(judge: Judge) -> None:
    for base, field, value in free_transitions():
        before = bases()[base]
        assert judge.change(before, with_field(before, field, value)) is None, field
        if field == "stopAfterFailures":  # countRejections needs it
            before["spec"].pop("countRejections")
        if field != "template":
            assert judge.change(before, with_field(before, field, None)) is None, f"without {field}"


def test_a_deployment_keeps_its_model(judge: Judge) -> None:
    before = bases()["deployment"]
    said = judge.change(before, with_field(before, "modelName", "other"))
    assert said is not None
    assert "spec.modelName: Invalid value" in said
    assert "spec.modelName is immutable: create a new ModelDeployment" in said


def test_a_version_never_changes(judge: Judge) -> None:
    before = bases()["version"]
    for field, value in (("version", 8), ("image", None), ("metrics", [])):
        assert "the spec of a ModelVersion is immutable" in (
            judge.change(before, with_field(before, field, value)) or ""
        )


def test_examples_are_accepted(kubectl: Kubectl, crds: Path) -> None:
    files = [part for path in EXAMPLES for part in ("-f", str(path))]
    objects = [thing for path in EXAMPLES for thing in yaml.safe_load_all(path.read_text())]
    assert len(kubectl("apply", "--dry-run=server", *files).splitlines()) == len(objects)


def test_definitions_are_applied_from_the_client(kubectl: Kubectl, crds: Path) -> None:
    """Client-side apply stores the whole definition in an annotation. The API server refuses a too large annotation."""
    for kind in KINDS:
        kubectl("apply", "--dry-run=server", "-f", str(checkout() / "crds" / f"{kind.plural}.yaml"))


@pytest.fixture(scope="module")
def finished(kubectl: Kubectl, crds: Path) -> Iterator[Object]:
    """Yield a TrainingJob with a complete status, and delete it after the tests."""
    thing = {**bases()["forecast"], "metadata": {"name": "finished"}}
    kubectl("create", "-f", "-", stdin=json.dumps(thing))
    patch = json.dumps({"status": thing["status"]})
    kubectl("patch", "tj", "finished", "--subresource=status", "--type=merge", "-p", patch)
    yield thing
    kubectl("delete", "tj", "finished")


def table(text: str) -> dict[str, str]:
    """Return one row of ``kubectl get`` by its header."""
    header, row = text.splitlines()
    starts = [match.start() for match in re.finditer(r"\S+( \S+)*", header)]
    ends = [*starts[1:], None]
    return {header[start:end].strip(): row[start:end].strip() for start, end in zip(starts, ends, strict=True)}


def test_kubectl_get_shows_the_columns(kubectl: Kubectl, finished: Object) -> None:
    narrow, row = (table(kubectl("get", "tj", "finished", *wide)) for wide in ((), ("-o", "wide")))
    assert list(row)[: len(narrow)] == list(narrow)
    assert list(row)[len(narrow) :] == ["FRAMEWORK", "QUEUE", "ETA", "DEVICE"]
    age = row.pop("AGE")
    assert age.endswith("s")
    assert row == {
        "NAME": "finished",
        "MODEL": "bakery-demand",
        "PHASE": "Succeeded",
        "REASON": "Succeeded",
        "PROGRESS": "100",
        "METRIC": "mae",
        "OBJECTIVE": "1.25",
        "VERSION": "7",
        "VERDICT": "Rejected",
        "ATTEMPT": "1",
        "FRAMEWORK": "Prophet",
        "QUEUE": "1",
        "ETA": "0",
        "DEVICE": "cpu",
    }


def test_columns_of_versions(kubectl: Kubectl, judge: Judge) -> None:
    judge.stored(bases()["version"])
    row = table(kubectl("get", "mv", "bakery-demand-v7", "-o", "wide"))
    expected = {"MODEL": "bakery-demand", "VERSION": "7", "PHASE": "Pending", "REASON": "", "METRIC": "mae"}
    expected |= {"OBJECTIVE": "1.25", "JOB": "forecast", "FORMATS": '["prophet-json"]'}
    assert {header: row[header] for header in expected} == expected


@pytest.mark.parametrize(
    ("base", "columns"),
    [
        (
            "schedule",
            {
                "NAME": "bakery-nightly",
                "SCHEDULE": "30 2 * * MON-FRI",
                "TIMEZONE": "Europe/Paris",
                "PHASE": "Active",
                "ACTIVE": "1",
                "NEXT": "2026-11-22T01:30:00Z",
                "VERSION": "6",
                "REJECTED": "1",
                "MISSED": "2",
                "LAST RUN": "bakery-nightly-29876543",
                "REASON": "Active",
            },
        ),
        (
            "deployment",
            {
                "NAME": "bakery",
                "MODEL": "bakery-demand",
                "PHASE": "Serving",
                "VERSION": "6",
                "CANDIDATE": "8",
                "PREVIOUS": "5",
                "READY": "2",
                "POLICY": "Pinned",
                "HOLD": "ManualRollback",
                "REASON": "Serving",
                "URL": "http://bakery.default.svc:8080",
            },
        ),
    ],
)
def test_columns_of_schedules_and_deployments(
    kubectl: Kubectl, judge: Judge, base: str, columns: dict[str, str]
) -> None:
    thing = bases()[base]
    judge.stored(thing)
    short, name = kind_of(thing).short, thing["metadata"]["name"]
    patch = json.dumps({"status": thing["status"]})
    kubectl("patch", short, name, "--subresource=status", "--type=merge", "-p", patch)
    row = table(kubectl("get", short, name, "-o", "wide"))
    assert {header: row[header] for header in columns} == columns


def test_kubectl_selects_by_phase_and_category(kubectl: Kubectl, finished: Object) -> None:
    assert kubectl("get", "tj", "--field-selector=status.phase=Succeeded", "-o", "name").split() == [
        "trainingjob.trainyard.dev/finished"
    ]
    assert "trainingjob.trainyard.dev/finished" in kubectl("get", "trainyard", "-o", "name").split()


def test_kubectl_explains(kubectl: Kubectl, crds: Path) -> None:
    difference = kubectl("explain", "mv.spec.comparison.metrics.difference")
    assert "value less champion." in difference, "without the markup of the docstring"
    explanation = kubectl("explain", "tj.spec.retry.initialSeconds")
    assert "Seconds to wait after the first failure. Default: 10." in explanation


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_the_server_describes_every_field(kind: KindDefinition, judge: Judge) -> None:
    """The descriptions for kubectl explain: the whole schema, with what the API server adds to it."""
    code, document = judge.server.request("GET", f"/openapi/v3/apis/{API_VERSION}")
    assert code == 200
    schema = document["components"]["schemas"][f"dev.trainyard.v1alpha1.{kind.kind}"]
    fields = [
        (f"{path}.{name}", field)
        for path, node in nodes(schema)
        for name, field in node.get("properties", {}).items()
        if "allOf" not in field  # metadata: described by Kubernetes
    ]
    assert len(fields) > 40
    assert [path for path, field in fields if not field.get("description")] == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_client_side_apply_takes_the_definitions(kind: KindDefinition, kubectl: Kubectl, crds: Path) -> None:
    applied = json.loads(kubectl("get", "crd", f"{kind.plural}.trainyard.dev", "-o", "json"))["metadata"]["annotations"]
    assert 10_000 < len(applied["kubectl.kubernetes.io/last-applied-configuration"]) < 262_144 / 2
