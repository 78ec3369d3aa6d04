"""The manifests of the object store. The integration and e2e tests run it."""

import json
from typing import Any

from cluster.object_store import NAME, ObjectStore, manifests


def by_kind(volume: dict[str, Any] | None = None) -> dict[str, Any]:
    return {each["kind"]: each for each in manifests("store-1", "s3cret", volume)}


def test_the_pod_keeps_to_the_restricted_profile() -> None:
    objects = by_kind()
    labels = objects["Namespace"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["automountServiceAccountToken"] is False


def test_only_the_secret_has_the_credentials() -> None:
    objects = by_kind()
    assert objects["Secret"]["stringData"] == {"AWS_ACCESS_KEY_ID": "store-1", "AWS_SECRET_ACCESS_KEY": "s3cret"}
    assert "s3cret" not in json.dumps([each for kind, each in objects.items() if kind != "Secret"])


def test_the_service_finds_the_pod() -> None:
    objects = by_kind()
    template = objects["Deployment"]["spec"]["template"]
    assert objects["Service"]["spec"]["selector"] == template["metadata"]["labels"]
    target = objects["Service"]["spec"]["ports"][0]["targetPort"]
    assert target in {port["name"] for port in template["spec"]["containers"][0]["ports"]}


def test_the_store_listens_on_all_addresses() -> None:
    [container] = by_kind()["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert not [each for each in container["args"] if each.startswith("--port")], "the default: PORT on all addresses"
    assert not {"POD_IP", "VGW_PORT"} & {each["name"] for each in container["env"]}


def test_a_given_volume_is_bound_and_no_other() -> None:
    volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": NAME}}
    claim = by_kind(volume)["PersistentVolumeClaim"]["spec"]
    assert (claim["storageClassName"], claim["volumeName"]) == ("", NAME)
    assert "storageClassName" not in by_kind()["PersistentVolumeClaim"]["spec"]


def test_secret_for_training_jobs_has_the_standard_keys() -> None:
    store = ObjectStore("http://in", "http://out", "a", "b")
    assert store.credentials() == {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
