"""What is kept in memory of an object: all that a view needs, and who requested an action."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from trainyard_api.meta import SAVED_ANNOTATION
from trainyard_operator.core.plan import Kind
from trainyard_operator.core.saved import fingerprint
from trainyard_operator.kinds.slim import slim
from trainyard_operator.kube.views import model_deployment
from trainyard_operator.runtime.registry import KINDS

ACTION = "trainyard.dev/requested-action"


def managed_by(manager: str, time: str, *annotations: str) -> dict[str, Any]:
    fields = {"f:metadata": {"f:annotations": {f"f:{name}": {} for name in annotations}}}
    return {"manager": manager, "time": time, "fieldsV1": fields}


def body(*managed: dict[str, Any], **annotations: str) -> dict[str, Any]:
    metadata = {
        "namespace": "team",
        "name": "demand",
        "uid": "u",
        "resourceVersion": "7",
        "creationTimestamp": "2026-11-21T08:00:00Z",
        "annotations": annotations,
        "managedFields": list(managed),
    }
    return {"metadata": metadata, "spec": {"modelName": "demand"}}


def test_an_annotation_of_trainyard_keeps_its_manager() -> None:
    managed = [
        managed_by("argocd-server", "2026-11-21T09:00:00Z", ACTION, "note"),
        managed_by("kubectl", "2026-11-21T08:00:00Z"),
    ]
    view = model_deployment(slim(KINDS["ModelDeployment"], body(*managed, **{ACTION: "hold/1", "note": "x"})))
    assert view.annotations == {ACTION: "hold/1"}
    assert view.managers == {ACTION: "argocd-server"}


def test_the_last_of_two_managers_counts() -> None:
    managed = [
        managed_by("kubectl-annotate", "2026-11-21T10:00:00Z", ACTION),
        managed_by("helm", "2026-11-21T09:00:00Z", ACTION),
    ]
    slimmed = slim(KINDS["ModelDeployment"], body(*managed, **{ACTION: "hold/1"}))
    assert model_deployment(slimmed).managers == {ACTION: "kubectl-annotate"}
    assert "managedFields" not in slimmed["metadata"]


def test_without_managed_fields_there_is_no_manager() -> None:
    view = model_deployment(slim(KINDS["ModelDeployment"], body(**{ACTION: "hold/1"})))
    assert view.managers == {}


def test_unneeded_fields_are_dropped() -> None:
    template = {"spec": {"containers": [{"name": "trainer", "image": "i", "env": []}]}}
    slimmed = slim(KINDS["Job"], {"metadata": {}, "spec": {"parallelism": 2, "template": template}})["spec"]
    assert slimmed["template"]["spec"]["containers"] == [{"name": "trainer", "image": "i"}]
    assert "parallelism" not in slimmed
    version = {"model": "m", "version": 1, "signature": {"inputs": [], "outputs": []}}
    assert slim(KINDS["ModelVersion"], {"metadata": {}, "spec": version})["spec"] == {"model": "m", "version": 1}


def test_a_saved_status_is_kept_only_for_an_object_without_a_status() -> None:
    """For an object with a status, only a comparison of the annotation is needed."""
    text = '{"of":"team/demand/demand","uid":"before","status":{"activeVersion":3}}'
    new = body(**{SAVED_ANNOTATION: text})
    assert KINDS["ModelDeployment"].view(slim(KINDS["ModelDeployment"], new)).status.active_version == 3
    for generation, kept in ((-1, text), (0, fingerprint(text)), (4, fingerprint(text))):
        slimmed = slim(KINDS["ModelDeployment"], {**new, "status": {"observedGeneration": generation}})
        assert model_deployment(slimmed).annotations == {SAVED_ANNOTATION: kept}


def read(kind: Kind, number: int, phase: str) -> dict[str, Any]:
    """Parse an object from JSON, so that it shares no string with another object."""
    metadata = {"namespace": "team", "name": f"a-{number}", "uid": f"0f9a4c1e-0000-4000-8000-{number:012d}"}
    spec = {"model": "demand", "modelName": "demand", "metrics": [{"name": "mae", "value": "0.5"}], "shards": 2}
    text = json.dumps({"kind": kind, "metadata": metadata, "spec": spec, "status": {"phase": phase}})
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def texts(value: Any) -> Iterator[str]:
    """Iterate over every key and string in a body."""
    match value:
        case dict():
            for key, each in value.items():
                yield key
                yield from texts(each)
        case list():
            for each in value:
                yield from texts(each)
        case str():
            yield value


@pytest.mark.parametrize(
    ("kind", "phase"),
    [
        ("TrainingJob", "Succeeded"),
        ("TrainingJob", "Failed"),
        ("TrainingJob", "Cancelled"),
        ("ModelVersion", "Validated"),
        ("ModelVersion", "Quarantined"),
    ],
)
def test_finished_objects_share_equal_strings(kind: Kind, phase: str) -> None:
    one, two = (slim(KINDS[kind], read(kind, number, phase)) for number in (1, 2))
    assert one == read(kind, 1, phase)
    alike = {text for text in texts(one) if text in set(texts(two))}
    assert {"metadata", "phase", phase, "mae", "0.5"} <= alike
    assert len({id(text) for body in (one, two) for text in texts(body) if text in alike}) == len(alike)


@pytest.mark.parametrize(
    ("kind", "phase"), [("TrainingJob", "Running"), ("ModelVersion", "Pending"), ("ModelDeployment", "Serving")]
)
def test_changing_objects_are_not_copied(kind: Kind, phase: str) -> None:
    whole = read(kind, 1, phase)
    assert not KINDS[kind].is_at_rest(whole)
    assert slim(KINDS[kind], whole)["status"] is whole["status"]
