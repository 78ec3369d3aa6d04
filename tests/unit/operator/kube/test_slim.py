"""What is kept of an object: enough for every view, and who asked for what."""

from typing import Any

from trainyard_api.meta import SAVED_ANNOTATION
from trainyard_operator.core.saved import fingerprint
from trainyard_operator.kube.slim import slim
from trainyard_operator.kube.views import model_deployment

ACTION = "trainyard.dev/requested-action"


def wrote(manager: str, time: str, *annotations: str) -> dict[str, Any]:
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


def test_an_annotation_of_ours_keeps_its_manager() -> None:
    managed = [wrote("argocd-server", "2026-11-21T09:00:00Z", ACTION, "note"), wrote("kubectl", "2026-11-21T08:00:00Z")]
    view = model_deployment(slim("ModelDeployment", body(*managed, **{ACTION: "hold/1", "note": "x"})))
    assert view.annotations == {ACTION: "hold/1"}
    assert view.managers == {ACTION: "argocd-server"}


def test_of_two_managers_the_last_one_counts() -> None:
    managed = [wrote("kubectl-annotate", "2026-11-21T10:00:00Z", ACTION), wrote("helm", "2026-11-21T09:00:00Z", ACTION)]
    slimmed = slim("ModelDeployment", body(*managed, **{ACTION: "hold/1"}))
    assert model_deployment(slimmed).managers == {ACTION: "kubectl-annotate"}
    assert "managedFields" not in slimmed["metadata"]


def test_without_managers_nobody_is_named() -> None:
    view = model_deployment(slim("ModelDeployment", body(**{ACTION: "hold/1"})))
    assert view.managers == {}


def test_what_fills_memory_is_dropped() -> None:
    template = {"spec": {"containers": [{"name": "trainer", "image": "i", "env": []}]}}
    slimmed = slim("Job", {"metadata": {}, "spec": {"parallelism": 2, "template": template}})["spec"]
    assert slimmed["template"]["spec"]["containers"] == [{"name": "trainer", "image": "i"}]
    assert "parallelism" not in slimmed
    version = {"model": "m", "version": 1, "signature": {"inputs": [], "outputs": []}}
    assert slim("ModelVersion", {"metadata": {}, "spec": version})["spec"] == {"model": "m", "version": 1}


def test_a_saved_status_is_kept_whole_where_it_is_needed() -> None:
    """Of an object with a status only whether the annotation is the right one is ever asked."""
    text = '{"of":"team/demand/demand","status":{"activeVersion":3}}'
    new = body(**{SAVED_ANNOTATION: text})
    assert model_deployment(slim("ModelDeployment", new)).status.active_version == 3
    for generation, kept in ((-1, text), (0, fingerprint(text)), (4, fingerprint(text))):
        slimmed = slim("ModelDeployment", {**new, "status": {"observedGeneration": generation}})
        assert model_deployment(slimmed).annotations == {SAVED_ANNOTATION: kept}
