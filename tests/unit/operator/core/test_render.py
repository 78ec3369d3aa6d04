"""The children of a TrainingJob as dicts: exactly what is sent to the API server."""

import json
from typing import Any

import pytest

from tests.unit.operator.samples import CA, CONFIG, SPEC, attempt_job, child, job_view, result_text
from trainyard_api import meta
from trainyard_api.pod import Resources
from trainyard_api.training import Storage
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_api.wire import TrainerConfig, TrainingResult, parse_result
from trainyard_operator.core.config import Images, OperatorConfig, ProgressServer, StorageDefaults
from trainyard_operator.core.objects import TrainingJobView
from trainyard_operator.core.plan import Body
from trainyard_operator.core.resolve import parse_spec
from trainyard_operator.core.training import render
from trainyard_operator.core.training.saved import job_digest

OURS = {
    "app.kubernetes.io/managed-by": "trainyard",
    "trainyard.dev/trainingjob": "diabetes",
    "trainyard.dev/trainingjob-uid": "uid-tj",
    "trainyard.dev/attempt": "2",
    "trainyard.dev/model": "diabetes",
}


def job_of(
    *,
    config: OperatorConfig = CONFIG,
    attempt: int = 2,
    out_of_memory: int = 0,
    view: TrainingJobView | None = None,
    limit: int | None = None,
    **spec: Any,
) -> Body:
    job = view or job_view(spec={**SPEC, **spec})
    parsed = TrainingJobSpec.model_validate(job.spec)
    return attempt_job(job, parsed, attempt, config=config, ca=CA, out_of_memory=out_of_memory, limit=limit)


def pod_of(**more: Any) -> Body:
    pod: Body = job_of(**more)["spec"]["template"]["spec"]
    return pod


def container_of(**more: Any) -> Body:
    container: Body = pod_of(**more)["containers"][0]
    return container


def test_job_without_its_template() -> None:
    job = job_of()
    job["spec"].pop("template")
    assert job == {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": "diabetes-2",
            "namespace": "team",
            "labels": OURS,
            "ownerReferences": [
                {
                    "apiVersion": "trainyard.dev/v1alpha1",
                    "kind": "TrainingJob",
                    "name": "diabetes",
                    "uid": "uid-tj",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    {
                        "action": "FailJob",
                        "onExitCodes": {
                            "containerName": "trainer",
                            "operator": "In",
                            "values": [64, 65, 66, 77, 78],
                        },
                    },
                ]
            },
        },
    }


def test_pod_meets_the_restricted_profile() -> None:
    pod = pod_of()
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert pod["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert pod["restartPolicy"] == "Never"
    assert len(pod["containers"]) == 1


def test_fields_left_out_are_absent() -> None:
    assert pod_of().keys() == {
        "restartPolicy",
        "automountServiceAccountToken",
        "enableServiceLinks",
        "terminationGracePeriodSeconds",
        "securityContext",
        "containers",
        "volumes",
    }


def test_the_projected_volume_has_configuration_and_token() -> None:
    volume = pod_of()["volumes"][0]
    assert volume == {
        "name": "trainyard",
        "projected": {
            "sources": [
                {
                    "downwardAPI": {
                        "items": [
                            {
                                "path": "config.json",
                                "fieldRef": {"fieldPath": "metadata.annotations['trainyard.dev/config']"},
                            },
                            {
                                "path": "ca.crt",
                                "fieldRef": {"fieldPath": "metadata.annotations['trainyard.dev/ca']"},
                            },
                        ]
                    }
                },
                {
                    "serviceAccountToken": {
                        "path": "token",
                        "audience": "trainyard.dev/v1alpha1/namespaces/team/trainingjobs/diabetes/uid-tj",
                        "expirationSeconds": 3600,
                    }
                },
            ]
        },
    }
    assert container_of()["volumeMounts"][0] == {
        "name": "trainyard",
        "mountPath": "/var/run/trainyard",
        "readOnly": True,
    }


def test_the_configuration_is_an_annotation_of_the_pod() -> None:
    config = OperatorConfig(progress=ProgressServer(url="https://trainyard.ns.svc:8443/"))
    annotations = job_of(config=config)["spec"]["template"]["metadata"]["annotations"]
    assert annotations["trainyard.dev/ca"] == CA
    settings = TrainerConfig.parse(annotations["trainyard.dev/config"])
    assert (settings.namespace, settings.name, settings.uid, settings.attempt) == ("team", "diabetes", "uid-tj", 2)
    path = "/apis/trainyard.dev/v1alpha1/namespaces/team/trainingjobs/diabetes/status"
    assert settings.progress_url == f"https://trainyard.ns.svc:8443{path}"
    assert settings.spec.storage is not None
    env = {e["name"]: e.get("value") for e in container_of(config=config)["env"]}
    assert env["KUBEFLOW_TRAINER_SERVER_URL"] == settings.progress_url
    assert env["KUBEFLOW_TRAINER_SERVER_TOKEN"] == "/var/run/trainyard/token"


def test_labels_of_the_operator_override_pod_labels() -> None:
    labels = job_of(podLabels={"team": "bakery", "trainyard.dev/attempt": "9"})["spec"]["template"]["metadata"][
        "labels"
    ]
    assert labels == {"team": "bakery", **OURS}


def test_users_annotations_cannot_replace_the_configuration() -> None:
    annotations = job_of(podAnnotations={"note": "x", meta.CONFIG_ANNOTATION: "{}"})
    annotations = annotations["spec"]["template"]["metadata"]["annotations"]
    assert annotations["note"] == "x"
    assert json.loads(annotations[meta.CONFIG_ANNOTATION])["name"] == "diabetes"


@pytest.mark.parametrize(
    ("spec", "claims"),
    [
        ({}, {}),
        ({"data": {"uri": "pvc://sales/daily.csv", "target": "y"}}, {"sales": True}),
        ({"storage": {"uri": "pvc://models"}}, {"models": False}),
        (
            {"data": {"uri": "pvc://one/daily.csv", "target": "y"}, "storage": {"uri": "pvc://one/models"}},
            {"one": False},
        ),
        (
            {
                "data": {
                    "uri": "s3://b/k",
                    "target": "y",
                    "covariates": [{"name": "w", "uri": "pvc://weather/w.csv", "time": "t", "columns": ["temp"]}],
                }
            },
            {"weather": True},
        ),
    ],
)
def test_claims_in_uris_are_mounted(spec: dict[str, Any], claims: dict[str, bool]) -> None:
    """The expected value says whether the mount is read-only."""
    pod = pod_of(**spec)
    mounts = {m["name"]: m for m in pod["containers"][0]["volumeMounts"]}
    found = {v["persistentVolumeClaim"]["claimName"]: v["name"] for v in pod["volumes"] if "persistentVolumeClaim" in v}
    assert {claim: mounts[name]["readOnly"] for claim, name in found.items()} == claims
    assert {mounts[name]["mountPath"] for name in found.values()} == {f"/mnt/claims/{claim}" for claim in claims}


def test_secrets_are_mounted_and_not_read() -> None:
    data = {"uri": "s3://b/k", "target": "y", "secretRef": {"name": "reader"}}
    mlflow = {"uri": "https://mlflow.example", "experiment": "e", "secretRef": {"name": "tracker"}}
    storage = {"uri": "s3://m", "secretRef": {"name": "writer"}}
    pod = pod_of(data=data, storage=storage, tracking={"mlflow": mlflow})
    secrets = {v["name"]: v["secret"] for v in pod["volumes"] if "secret" in v}
    assert secrets == {
        "data-secret": {"secretName": "reader", "defaultMode": 0o440},
        "storage-secret": {"secretName": "writer", "defaultMode": 0o440},
        "tracking-secret": {"secretName": "tracker", "defaultMode": 0o440},
    }
    mounts = {m["name"]: m["mountPath"] for m in pod["containers"][0]["volumeMounts"]}
    assert mounts["data-secret"] == "/var/run/secrets/trainyard/data"
    assert mounts["storage-secret"] == "/var/run/secrets/trainyard/storage"
    assert mounts["tracking-secret"] == "/var/run/secrets/trainyard/tracking"


def test_the_secret_of_a_query_is_mounted() -> None:
    pod = pod_of(data={"sql": {"secretRef": {"name": "db"}, "query": "select 1"}, "target": "y"})
    assert [v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v] == ["db"]


def test_pod_fields_of_the_spec_are_rendered() -> None:
    pod = pod_of(
        nodeSelector={"disk": "ssd"},
        tolerations=[{"key": "gpu", "operator": "Exists"}],
        serviceAccountName="trainer",
        imagePullSecrets=[{"name": "registry"}],
        priorityClassName="high",
        accelerator={"resource": "nvidia.com/gpu", "count": 2, "nodeSelector": {"gpu": "a100"}},
        env=[{"name": "A", "value": "b"}],
    )
    assert pod["nodeSelector"] == {"disk": "ssd", "gpu": "a100"}
    assert pod["tolerations"][0] == {"key": "gpu", "operator": "Exists"}
    assert pod["serviceAccountName"] == "trainer"
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["priorityClassName"] == "high"
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 2
    assert pod["containers"][0]["env"][-1] == {"name": "A", "value": "b"}


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        (None, {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}),
        (
            {"limits": {"cpu": "500m", "memory": "512Mi"}},
            {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"cpu": "500m", "memory": "512Mi"}},
        ),
        ({"requests": {"memory": "8Gi"}}, {"requests": {"cpu": "1", "memory": "8Gi"}, "limits": {}}),
        (
            {"requests": {"memory": "8Gi"}, "limits": {"memory": "9Gi"}},
            {"requests": {"cpu": "1", "memory": "8Gi"}, "limits": {"memory": "9Gi"}},
        ),
    ],
)
def test_resources_are_merged_key_by_key(resources: dict[str, Any] | None, expected: dict[str, Any]) -> None:
    spec = {} if resources is None else {"resources": resources}
    config = CONFIG.model_copy(
        update={"resources": Resources(requests={"cpu": "1", "memory": "1Gi"}, limits={"memory": "2Gi"})}
    )
    found = container_of(config=config, **spec)["resources"]
    assert {"limits": {}, **found} == expected


def test_all_named_resources_are_rendered() -> None:
    many = {f"example.com/r{n}": 1 for n in range(16)}
    assert many.items() <= container_of(resources={"limits": many})["resources"]["limits"].items()


@pytest.mark.parametrize(("kills", "memory"), [(0, "1Gi"), (1, "1536Mi"), (2, "2304Mi")])
def test_memory_grows_with_each_kill(kills: int, memory: str) -> None:
    assert container_of(out_of_memory=kills)["resources"]["requests"]["memory"] == memory


def test_the_image_of_the_job_overrides_the_image_of_its_framework() -> None:
    config = OperatorConfig(images=Images(trainer="t:1", by_framework={"LightGBM": "l:1"}, pull_policy="Always"))
    assert container_of(config=config)["image"] == "l:1"
    assert container_of(config=config, image="mine:2")["image"] == "mine:2"
    assert container_of(config=config)["imagePullPolicy"] == "Always"


def test_an_attempt_gets_its_deadline() -> None:
    assert job_of(activeDeadlineSeconds=60, limit=45)["spec"]["activeDeadlineSeconds"] == 45
    assert "activeDeadlineSeconds" not in job_of()["spec"]


GPU = {"resource": "nvidia.com/gpu", "count": 2}
TAINT = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}


def test_an_accelerator_adds_limit_and_toleration() -> None:
    pod = pod_of(accelerator=GPU, tolerations=[{"key": "own", "operator": "Exists"}])
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 2
    assert pod["tolerations"] == [{"key": "own", "operator": "Exists"}, TAINT]
    assert "nodeSelector" not in pod
    plain = pod_of()
    assert "tolerations" not in plain
    assert "nvidia.com/gpu" not in plain["containers"][0]["resources"]["limits"]


def test_scheduling_settings_of_an_accelerator_are_applied() -> None:
    known = {"nvidia.com/gpu": {"nodeSelector": {"gpu": "any"}, "tolerations": [{"key": "gpus", "operator": "Exists"}]}}
    config = OperatorConfig.model_validate({"accelerators": known})
    pod = pod_of(config=config, accelerator=GPU, nodeSelector={"disk": "ssd"})
    assert pod["nodeSelector"] == {"disk": "ssd", "gpu": "any"}
    assert pod["tolerations"] == [{"key": "gpus", "operator": "Exists"}]
    own = pod_of(config=config, accelerator={**GPU, "nodeSelector": {}})
    assert "nodeSelector" not in own, "fields of the job override the defaults"
    other = pod_of(config=config, accelerator={**GPU, "resource": "amd.com/gpu"})
    assert other["tolerations"] == [{**TAINT, "key": "amd.com/gpu"}]


def test_storage_defaults_apply_only_to_the_same_endpoint() -> None:
    defaults = StorageDefaults(uri="s3://models", endpoint="http://s3:7070", region="r", secret_name="s3")
    config = OperatorConfig(storage=defaults)

    def storage(**spec: Any) -> dict[str, Any]:
        view = job_view(spec={**{k: v for k, v in SPEC.items() if k != "storage"}, **spec})
        annotations = job_of(config=config, view=view)["spec"]["template"]["metadata"]["annotations"]
        found: dict[str, Any] = json.loads(annotations[meta.CONFIG_ANNOTATION])["spec"]["storage"]
        found.pop("checksumMode")
        return found

    whole = {"uri": "s3://models", "endpoint": "http://s3:7070", "region": "r", "secretRef": {"name": "s3"}}
    assert storage() == whole
    assert storage(storage={"uri": "s3://other/x"}) == {**whole, "uri": "s3://other/x"}
    assert storage(storage={"uri": "pvc://claim"}) == {"uri": "pvc://claim"}
    own = {"uri": "s3://other", "endpoint": "https://elsewhere"}
    assert storage(storage=own) == own


def test_the_model_version_of_a_result() -> None:
    metric = {"name": "mae", "value": "1.5", "champion": "2", "difference": "-0.5", "low": "-0.9", "high": "-0.1"}
    compared = {"champion": 6, "championDigest": "c" * 64, "reason": "Compared", "rows": 88, "metrics": [metric]}
    result = parse_result(result_text(version=7, dataDigest="b" * 64, comparison=compared))
    assert isinstance(result, TrainingResult)
    gates = [{"metric": "mae", "op": "<", "value": 2}, {"metric": "r2", "compareTo": "Champion", "tolerance": 0.1}]
    job = job_view(spec={**SPEC, "modelName": "demand", "gates": gates, "objective": {"metric": "r2"}})
    storage = Storage(uri="s3://models", endpoint="http://s3:7070")
    assert render.model_version(job, parse_spec(job), child(2, image="trainer:1"), result, storage) == {
        "apiVersion": "trainyard.dev/v1alpha1",
        "kind": "ModelVersion",
        "metadata": {
            "name": "demand-v7",
            "namespace": "team",
            "labels": {
                "app.kubernetes.io/managed-by": "trainyard",
                "trainyard.dev/model": "demand",
                "trainyard.dev/version": "7",
                "trainyard.dev/trainingjob": "diabetes",
                "trainyard.dev/trainingjob-uid": "uid-tj",
            },
        },
        "spec": {
            "model": "demand",
            "version": 7,
            "label": "v2026-11-21T08-00-00-000Z_a1b2c3d4",
            "artifact": {
                "uri": "s3://models/team/job/runs/u/1",
                "manifestSha256": "a" * 64,
                "sizeBytes": 1234,
            },
            "formats": ["LightGBM"],
            "metrics": [{"name": "mae", "value": "1.5"}, {"name": "r2", "value": "0.4"}],
            "dataDigest": "b" * 64,
            "comparison": {**compared, "message": "", "metrics": [{**metric, "confidence": 0.95}]},
            "objective": {"metric": "r2"},
            "objectiveMetric": "r2",
            "objectiveValue": "0.4",
            "gates": gates,
            "storage": {"uri": "s3://models", "endpoint": "http://s3:7070", "checksumMode": "WhenRequired"},
            "trainingJob": {"name": "diabetes", "uid": "uid-tj", "specDigest": job_digest(job)},
            "image": "trainer:1",
        },
    }
