"""What pods get from the chart, the namespace and the object, and which settings nobody can change."""

from typing import Any

import pytest

from tests.unit.operator.core.test_render_serving import md, rendered, service
from tests.unit.operator.samples import SPEC, attempt_job, job_view
from trainyard_api import meta
from trainyard_api.modeldeployment import Serving
from trainyard_api.pod import PodOptions
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_operator.core.config import NamespaceDefaults, OperatorConfig, PodDefaults, StorageDefaults
from trainyard_operator.core.pods import over
from trainyard_operator.core.resolve import InvalidSpecError

Json = dict[str, Any]

CHART = {
    "nodeSelector": {"pool": "batch", "zone": "a"},
    "tolerations": [{"key": "batch", "operator": "Exists"}],
    "imagePullSecrets": [{"name": "registry"}],
    "serviceAccountName": "models",
    "env": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}, {"name": "A", "value": "chart"}],
    "labels": {"team": "platform", "cost": "ml"},
    "annotations": {"note": "chart"},
    "podLabels": {"mesh": "off"},
    "podAnnotations": {"sidecar.istio.io/inject": "false"},
    "priorityClassName": "batch",
    "runtimeClassName": "nvidia",
    "affinity": {"nodeAffinity": {}},
    "volumes": [{"name": "ca", "configMap": {"name": "company-ca"}}],
    "volumeMounts": [{"name": "ca", "mountPath": "/etc/company", "readOnly": True}],
    "sharedMemory": "1Gi",
}
SPREAD = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
OWN = {
    "nodeSelector": {"zone": "b"},
    "tolerations": [{"key": "batch", "operator": "Exists"}, {"key": "mine", "operator": "Exists"}],
    "imagePullSecrets": [{"name": "own"}],
    "serviceAccountName": "own",
    "env": [{"name": "A", "value": "own"}],
    "labels": {"cost": "sales", meta.MODEL_LABEL: "another"},
    "affinity": {"podAffinity": {}},
    "sharedMemory": "2Gi",
}


def config(role: str, *, namespace: Json | None = None, **chart: Any) -> OperatorConfig:
    defaults = {role: PodDefaults.model_validate(chart)}
    if namespace is not None:
        defaults["namespace_defaults"] = {"team": NamespaceDefaults.model_validate({role: namespace})}
    return OperatorConfig(storage=StorageDefaults(uri="s3://models/"), **defaults)


def trained(chart: OperatorConfig, **own: Any) -> Json:
    job = job_view(spec={**SPEC, **own})
    spec = TrainingJobSpec.model_validate(job.spec)
    return attempt_job(job, spec, 1, config=chart, ca="")


def pod(body: Json) -> Json:
    found: Json = body["spec"]["template"]["spec"]
    return found


def variables(container: Json) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container["env"] if "value" in one}


@pytest.fixture(params=["trainer", "server"])
def rendered_body(request: pytest.FixtureRequest) -> Any:
    """Return a function that renders the Job or the Deployment of an object with these fields."""
    role = request.param

    def render(own: Json, namespace: Json | None = None, chart: Json = CHART) -> Json:
        operator_config = config(role, namespace=namespace, **chart)
        return trained(operator_config, **own) if role == "trainer" else rendered(config=operator_config, **own)

    return render


def test_settings_of_the_chart_reach_every_pod(rendered_body: Any) -> None:
    body = rendered_body({})
    spec, metadata = pod(body), body["spec"]["template"]["metadata"]
    for field in ("nodeSelector", "tolerations", "imagePullSecrets", "serviceAccountName", "priorityClassName"):
        assert spec[field] == CHART[field], field
    assert (spec["runtimeClassName"], spec["affinity"]) == ("nvidia", {"nodeAffinity": {}})
    assert body["metadata"]["labels"].items() >= CHART["labels"].items()
    assert body["metadata"]["annotations"]["note"] == "chart"
    assert metadata["labels"].items() >= {**CHART["labels"], **CHART["podLabels"]}.items()
    assert metadata["annotations"].items() >= {**CHART["annotations"], **CHART["podAnnotations"]}.items()
    [container] = spec["containers"]
    assert variables(container).items() >= {"HTTPS_PROXY": "http://proxy:3128", "A": "chart"}.items()
    assert {"name": "ca", "mountPath": "/etc/company", "readOnly": True} in container["volumeMounts"]
    assert {"name": "shared-memory", "mountPath": "/dev/shm"} in container["volumeMounts"]
    volumes = {one["name"]: one for one in spec["volumes"]}
    assert volumes["ca"]["configMap"] == {"name": "company-ca"}
    assert volumes["shared-memory"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Gi"}


def test_the_object_overrides_the_namespace_and_the_namespace_the_chart(rendered_body: Any) -> None:
    namespace = {"nodeSelector": {"zone": "n", "disk": "ssd"}, "env": [{"name": "A", "value": "namespace"}]}
    spec = pod(rendered_body({}, namespace))
    assert spec["nodeSelector"] == {"pool": "batch", "zone": "n", "disk": "ssd"}
    assert variables(spec["containers"][0])["A"] == "namespace"

    body = rendered_body(OWN, namespace)
    spec = pod(body)
    assert spec["nodeSelector"] == {"pool": "batch", "zone": "b", "disk": "ssd"}
    assert [one["key"] for one in spec["tolerations"]] == ["batch", "mine"]
    assert spec["imagePullSecrets"] == [{"name": "registry"}, {"name": "own"}]
    assert (spec["serviceAccountName"], spec["affinity"]) == ("own", {"podAffinity": {}})
    assert variables(spec["containers"][0])["A"] == "own"
    assert body["metadata"]["labels"]["cost"] == "sales"
    sizes = [one["emptyDir"]["sizeLimit"] for one in spec["volumes"] if one["name"] == "shared-memory"]
    assert sizes == ["2Gi"]


def test_other_namespaces_get_only_the_settings_of_the_chart() -> None:
    operator_config = config("trainer", **CHART).model_copy(
        update={"namespace_defaults": {"other": NamespaceDefaults(trainer=PodOptions(runtime_class_name="x"))}}
    )
    assert pod(trained(operator_config))["runtimeClassName"] == "nvidia"


def test_labels_of_the_operator_cannot_be_changed(rendered_body: Any) -> None:
    body = rendered_body(OWN)
    assert body["metadata"]["labels"][meta.MODEL_LABEL] != "another"
    assert body["spec"]["template"]["metadata"]["labels"][meta.MODEL_LABEL] != "another"


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (
            {"volumes": [{"name": "work", "emptyDir": {}}]},
            "volumes: the name work is used twice",
        ),
        ({"volumeMounts": [{"name": "none", "mountPath": "/x"}]}, "volumeMounts: there is no volume none"),
        (
            {"volumes": [{"name": "v", "emptyDir": {}}], "volumeMounts": [{"name": "v", "mountPath": "/tmp/mine"}]},
            "volumeMounts: /tmp/mine would hide /tmp",
        ),
        (
            {"volumes": [{"name": "v", "emptyDir": {}}], "volumeMounts": [{"name": "v", "mountPath": "/var/run"}]},
            "would hide /var/run/trainyard",
        ),
    ],
)
def test_conflicting_volumes_are_refused(rendered_body: Any, own: Json, message: str) -> None:
    with pytest.raises(InvalidSpecError, match=message):
        rendered_body(own, chart={})


def test_every_option_is_merged() -> None:
    """An option that the merge forgets would be dropped without an error."""
    full = PodOptions.model_validate({**CHART, "topologySpreadConstraints": [SPREAD]})
    assert set(full.model_fields_set) == set(PodOptions.model_fields)
    for own, base in ((full, PodOptions()), (PodOptions(), full)):
        assert over(own, base).wire() == full.wire()
    assert set(PodOptions.model_fields) <= set(TrainingJobSpec.model_fields)
    assert set(PodOptions.model_fields) <= set(Serving.model_fields)


def test_the_service_of_a_model_has_the_labels_and_annotations() -> None:
    body = service(md(labels={"cost": "sales"}), 7, config=config("server", **CHART))
    assert body["metadata"]["labels"].items() >= {"team": "platform", "cost": "sales"}.items()
    assert body["metadata"]["annotations"]["note"] == "chart"


def test_trainer_steps_get_chart_settings_and_the_users_container_gets_job_settings() -> None:
    own = {
        "framework": "Container",
        "image": "mine:1",
        "command": ["fit"],
        "env": [{"name": "B", "value": "own"}],
        "volumes": [{"name": "lookup", "configMap": {"name": "lookup"}}],
        "volumeMounts": [{"name": "lookup", "mountPath": "/lookup"}],
    }
    spec = pod(trained(config("trainer", **CHART), **own))
    fetch, users = spec["initContainers"]
    [register] = spec["containers"]
    for step in (fetch, register):
        assert variables(step).items() >= {"HTTPS_PROXY": "http://proxy:3128", "A": "chart"}.items()
        assert "B" not in variables(step)
        assert {"ca"} <= {one["name"] for one in step["volumeMounts"]}
        assert not {"lookup", "shared-memory"} & {one["name"] for one in step["volumeMounts"]}
    assert variables(users)["B"] == "own"
    assert "HTTPS_PROXY" not in variables(users), "settings of the chart for the trainer may contain credentials"
    assert {"lookup", "shared-memory"} <= {one["name"] for one in users["volumeMounts"]}
    assert "ca" not in {one["name"] for one in users["volumeMounts"]}


def test_security_contexts_can_be_set_in_the_chart(rendered_body: Any) -> None:
    spec = pod(rendered_body({}, chart={}))
    assert spec["securityContext"]["runAsUser"] == 65532
    assert spec["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    openshift = {"podSecurityContext": {"runAsNonRoot": True}, "securityContext": {"privileged": False}}
    spec = pod(rendered_body({}, chart=openshift))
    assert spec["securityContext"] == {"runAsNonRoot": True}
    assert spec["containers"][0]["securityContext"] == {"privileged": False}
