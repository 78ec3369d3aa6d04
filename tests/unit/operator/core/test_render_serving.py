"""The children of a ModelDeployment as dicts: exactly what is sent to the API server."""

import re
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.operator.api_server import NAMESPACE, START
from tests.unit.operator.samples import CONFIG
from trainyard_api.modeldeployment import ModelDeploymentSpec, ModelDeploymentStatus
from trainyard_api.modelversion import ModelVersionStatus
from trainyard_api.pod import Resources
from trainyard_operator.core.config import Images, OperatorConfig, ServingDefaults, StorageDefaults
from trainyard_operator.core.objects import ModelDeploymentView, ModelVersionView
from trainyard_operator.core.resolve import InvalidSpecError
from trainyard_operator.core.serving.render import deployment, disruption_budget
from trainyard_operator.core.serving.render import service as render_service

Json = dict[str, Any]

LABELS = {
    "app.kubernetes.io/managed-by": "trainyard",
    "trainyard.dev/modeldeployment": "shop",
    "trainyard.dev/modeldeployment-uid": "uid-md",
    "trainyard.dev/model": "demand",
    "trainyard.dev/version": "7",
}
SELECTOR = {"trainyard.dev/modeldeployment-uid": "uid-md", "trainyard.dev/version": "7"}
OWNER = {
    "apiVersion": "trainyard.dev/v1alpha1",
    "kind": "ModelDeployment",
    "name": "shop",
    "uid": "uid-md",
    "controller": True,
    "blockOwnerDeletion": True,
}
STORAGE = {"uri": "s3://models/", "endpoint": "http://s3:7070", "region": "r", "secretRef": {"name": "keys"}}


def md(**serving: Any) -> ModelDeploymentView:
    return ModelDeploymentView(
        namespace=NAMESPACE,
        name="shop",
        uid="uid-md",
        resource_version="1",
        generation=1,
        created=START,
        deleting=False,
        spec={"modelName": "demand", **({"serving": serving} if serving else {})},
        status=ModelDeploymentStatus(),
        labels={"argocd.argoproj.io/instance": "shop"},
    )


def version(**more: Any) -> ModelVersionView:
    artifact = {"uri": "s3://models/team/demand/runs/u/1", "manifestSha256": "a" * 64, "sizeBytes": 1}
    return ModelVersionView(
        namespace=NAMESPACE,
        name="demand-v7",
        uid="uid-mv",
        resource_version="1",
        generation=1,
        created=START,
        deleting=False,
        spec={"model": "demand", "version": 7, "artifact": artifact, "storage": STORAGE, **more},
        status=ModelVersionStatus(),
    )


def rendered(*, of: ModelVersionView | None = None, config: OperatorConfig = CONFIG, **serving: Any) -> Json:
    owner = md(**serving)
    return deployment(owner, ModelDeploymentSpec.model_validate(owner.spec), of or version(), config=config)


def service(owner: ModelDeploymentView, number: int, *, config: OperatorConfig = CONFIG) -> Json:
    return render_service(owner, ModelDeploymentSpec.model_validate(owner.spec), number, config=config)


def pod_of(**more: Any) -> Json:
    pod: Json = rendered(**more)["spec"]["template"]["spec"]
    return pod


def container_of(**more: Any) -> Json:
    [container] = pod_of(**more)["containers"]
    return dict(container)


def environment_of(**more: Any) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container_of(**more)["env"] if "value" in each}


def applied(body: Json) -> str:
    return str(body["metadata"]["annotations"]["trainyard.dev/applied"])


def test_deployment_without_its_pod() -> None:
    body = rendered(replicas=3)
    body["spec"]["template"].pop("spec")
    assert re.fullmatch("[0-9a-f]{16}", body["metadata"].pop("annotations")["trainyard.dev/applied"])
    assert body == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "shop-v7", "namespace": "team", "labels": LABELS, "ownerReferences": [OWNER]},
        "spec": {
            "replicas": 3,
            "revisionHistoryLimit": 1,
            "selector": {"matchLabels": SELECTOR},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {"metadata": {"labels": LABELS}},
        },
    }


def test_service_of_a_version() -> None:
    body = service(md(), 7)
    body["metadata"].pop("annotations")
    assert body == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "shop", "namespace": "team", "labels": LABELS, "ownerReferences": [OWNER]},
        "spec": {
            "type": "ClusterIP",
            "selector": SELECTOR,
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
        },
    }


def test_the_disruption_budget_selects_the_pods_of_the_service() -> None:
    owner = md(replicas=2)
    body = disruption_budget(owner, ModelDeploymentSpec.model_validate(owner.spec), 7, config=CONFIG)
    body["metadata"].pop("annotations")
    assert body == {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "shop", "namespace": "team", "labels": LABELS, "ownerReferences": [OWNER]},
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": service(md(), 7)["spec"]["selector"]},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def test_the_service_selects_only_the_pods_of_its_version() -> None:
    labels = rendered()["spec"]["template"]["metadata"]["labels"]
    assert service(md(), 7)["spec"]["selector"].items() <= labels.items()
    assert not service(md(), 8)["spec"]["selector"].items() <= labels.items()
    other = replace(md(), uid="uid-of-an-earlier-one")
    assert not service(other, 7)["spec"]["selector"].items() <= labels.items()


def test_the_hash_changes_with_every_change_of_the_spec() -> None:
    assert applied(rendered()) == applied(rendered())
    changes: list[Json] = [{"replicas": 2}, {"image": "mine:2"}, {"env": [{"name": "A", "value": "b"}]}]
    hashes = [applied(rendered(**change)) for change in changes]
    config = CONFIG.model_copy(update={"images": Images(server="s:2")})
    found = {applied(rendered()), applied(rendered(config=config)), *hashes}
    assert len(found) == 2 + len(changes)
    assert applied(service(md(), 7)) != applied(service(md(), 8))


def test_the_environment_names_model_version_and_artifact() -> None:
    assert environment_of() == {
        "TRAINYARD_MODEL_NAME": "demand",
        "TRAINYARD_MODEL_VERSION": "7",
        "TRAINYARD_ARTIFACT_URI": "s3://models/team/demand/runs/u/1",
        "TRAINYARD_MANIFEST_SHA256": "a" * 64,
        "TRAINYARD_STORAGE_ENDPOINT": "http://s3:7070",
        "TRAINYARD_STORAGE_REGION": "r",
        "TRAINYARD_STORAGE_CHECKSUM_MODE": "WhenRequired",
        "TRAINYARD_STORAGE_SECRET_DIR": "/var/run/secrets/trainyard/storage",
        "TRAINYARD_CLAIMS_DIR": "/mnt/claims",
        "TRAINYARD_WORK_DIR": "/tmp",
        "TRAINYARD_TERMINATION_LOG": "/dev/termination-log",
        "TRAINYARD_SERVER_PORT": "8080",
        "TRAINYARD_SERVER_DRAIN_SECONDS": "5",
        "TRAINYARD_SERVER_GRACE_SECONDS": "20",
    }


def test_the_prefix_of_a_digest_is_removed() -> None:
    artifact = {**version().spec["artifact"], "manifestSha256": "sha256:" + "b" * 64}
    assert environment_of(of=version(artifact=artifact))["TRAINYARD_MANIFEST_SHA256"] == "b" * 64


def test_pod_meets_the_restricted_profile() -> None:
    pod = pod_of()
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container_of()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"name": "work", "mountPath": "/tmp"} in container_of()["volumeMounts"]


def test_readiness_needs_the_model_and_liveness_does_not() -> None:
    container = container_of()
    assert container["readinessProbe"]["httpGet"] == {"path": "/v2/models/demand/ready", "port": "http"}
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/v2/health/live", "port": "http"}
    assert container["ports"] == [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]


@pytest.mark.parametrize(("drain", "grace"), [(5, 20), (0, 1), (60, 600)])
def test_the_grace_period_is_longer_than_the_drain_of_the_server(drain: int, grace: int) -> None:
    config = OperatorConfig(serving=ServingDefaults(drain_seconds=drain, grace_seconds=grace))
    assert pod_of(config=config)["terminationGracePeriodSeconds"] > drain + grace
    assert environment_of(config=config)["TRAINYARD_SERVER_DRAIN_SECONDS"] == str(drain)


def test_the_secret_of_the_store_is_mounted() -> None:
    [_, secret] = pod_of()["volumes"]
    assert secret["secret"] == {"secretName": "keys", "defaultMode": 0o440}
    mount = {"name": secret["name"], "mountPath": "/var/run/secrets/trainyard/storage", "readOnly": True}
    assert mount in container_of()["volumeMounts"]


def test_a_claim_is_mounted_read_only() -> None:
    artifact = {**version().spec["artifact"], "uri": "pvc://models/team/demand/runs/u/1"}
    of = version(artifact=artifact, storage={"uri": "pvc://models/"})
    [_, claim] = pod_of(of=of)["volumes"]
    assert claim["persistentVolumeClaim"] == {"claimName": "models"}
    assert {"name": claim["name"], "mountPath": "/mnt/claims/models", "readOnly": True} in container_of(of=of)[
        "volumeMounts"
    ]


def test_a_version_without_storage_uses_the_defaults() -> None:
    of = version()
    spec = {key: value for key, value in of.spec.items() if key != "storage"}
    config = OperatorConfig(storage=StorageDefaults(uri="s3://models/", endpoint="http://d:1", secret_name="own"))
    of = replace(of, spec=spec)
    assert environment_of(of=of, config=config)["TRAINYARD_STORAGE_ENDPOINT"] == "http://d:1"
    assert pod_of(of=of, config=config)["volumes"][1]["secret"]["secretName"] == "own"
    assert len(pod_of(of=of)["volumes"]) == 1


def test_fields_of_the_spec_override_the_defaults() -> None:
    pod = pod_of(
        image="mine:2",
        resources={"requests": {"cpu": "2"}, "limits": {"memory": "4Gi"}},
        nodeSelector={"disk": "ssd"},
        tolerations=[{"key": "spot", "operator": "Exists"}],
        serviceAccountName="server",
        imagePullSecrets=[{"name": "registry"}],
        priorityClassName="high",
    )
    assert pod["containers"][0]["image"] == "mine:2"
    assert pod["containers"][0]["resources"] == {
        "requests": {"cpu": "2", "memory": "4Gi"},
        "limits": {"memory": "4Gi"},
    }
    assert pod["nodeSelector"] == {"disk": "ssd"}
    assert pod["tolerations"] == [{"key": "spot", "operator": "Exists"}]
    assert (pod["serviceAccountName"], pod["priorityClassName"]) == ("server", "high")
    assert pod["imagePullSecrets"] == [{"name": "registry"}]


def test_defaults_of_the_chart_are_applied() -> None:
    serving = ServingDefaults(resources=Resources(requests={"cpu": "1"}), pull_policy="Always")
    container = container_of(config=OperatorConfig(images=Images(server="s:9"), serving=serving))
    assert (container["image"], container["imagePullPolicy"]) == ("s:9", "Always")
    assert container["resources"] == {"requests": {"cpu": "1"}}


def test_pod_labels_cannot_replace_ours_nor_come_from_the_owner() -> None:
    metadata = rendered(podLabels={"team": "bakery", "trainyard.dev/version": "9"}, podAnnotations={"note": "x"})
    template = metadata["spec"]["template"]["metadata"]
    assert template == {"labels": {"team": "bakery", **LABELS}, "annotations": {"note": "x"}}


def test_variables_of_the_user_come_last_without_duplicates() -> None:
    env = container_of(env=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "A", "value": "3"}])[
        "env"
    ]
    assert env[-2:] == [{"name": "A", "value": "3"}, {"name": "B", "value": "2"}]
    names = [each["name"] for each in env]
    assert len(set(names)) == len(names), "server-side apply refuses a name that occurs twice"


@pytest.mark.parametrize("name", ["TRAINYARD_MODEL_VERSION", "TRAINYARD_SERVER_PORT"])
def test_variables_of_the_operator_cannot_be_set(name: str) -> None:
    with pytest.raises(InvalidSpecError, match=rf"spec\.serving\.env: the operator sets {name} .* remove it"):
        rendered(env=[{"name": name, "value": "9"}])


def test_an_invalid_storage_is_named() -> None:
    with pytest.raises(InvalidSpecError, match=r"ModelVersion demand-v7: spec\.storage"):
        rendered(of=version(storage={"uri": 7}))
