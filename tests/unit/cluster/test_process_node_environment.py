"""Environment, volumes, paths and programs of the process node."""

import base64
from pathlib import Path
from typing import Any

import pytest

from cluster.process_node.client import ApiClient, ApiError, Json
from cluster.process_node.environment import ConfigError, build_environment, expand
from cluster.process_node.paths import ContainerPaths
from cluster.process_node.pods import Container, Pod
from cluster.process_node.programs import ImageUnknownError, Program, find_program, read_programs, write_programs
from cluster.process_node.volumes import PodVolumes


class FakeApi(ApiClient):
    """Holds Secrets and ConfigMaps of namespace ns, and one bound claim."""

    def __init__(self, **objects: Json) -> None:
        self.objects = objects

    async def get(self, path: str) -> Json:
        kind, name = path.removeprefix("/api/v1/namespaces/ns/").split("/")
        if name not in self.objects:
            raise ApiError(404, f"{kind} {name} not found")
        return self.objects[name]

    async def create(self, path: str, body: Json) -> Json:
        return {"status": {"token": f"{path} {body['spec']['audiences']}"}}


def config_map(**data: str) -> Json:
    return {"data": data}


def secret(**data: bytes) -> Json:
    return {"data": {key: base64.b64encode(value).decode() for key, value in data.items()}}


def pod_with(container: Json | None = None, **spec: Any) -> Pod:
    labels, annotations = {"app": "x"}, {"trainyard.dev/config": "{}"}
    metadata = {"namespace": "ns", "name": "job-1", "uid": "u-1", "labels": labels, "annotations": annotations}
    main = {"name": "main", "image": "trainer:1", **(container or {})}
    raw = {"metadata": metadata, "spec": {"containers": [main], **spec}}
    return Pod.model_validate({**raw, "address": "127.64.1.5"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)-$(B)", "1-$(B)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$(A)$(A)", "11"),
    ],
)
def test_variables_are_expanded_as_in_kubernetes(text: str, expected: str) -> None:
    assert expand(text, {"A": "1"}) == expected


async def environment(api: FakeApi, *env: Json) -> dict[str, str]:
    pod = pod_with({"env": env})
    return await build_environment(api, pod, pod.spec.containers[0], {"BASE": "b"})


def taken_from(**source: Json) -> Json:
    return {"name": "X", "valueFrom": source}


async def test_every_source_of_a_variable() -> None:
    api = FakeApi(cm=config_map(k="v"), s=secret(password=b"p w"))
    env = [
        {"name": "PLAIN", "value": "$(BASE)-$(UNKNOWN)"},
        {"name": "EMPTY"},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "CONFIG", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k"}}},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "password"}}},
        {"name": "ABSENT", "valueFrom": {"secretKeyRef": {"name": "s", "key": "no", "optional": True}}},
        {"name": "NOWHERE", "valueFrom": {"secretKeyRef": {"name": "none", "key": "no", "optional": True}}},
    ]
    assert await environment(api, *env) == {
        "BASE": "b", "PLAIN": "b-$(UNKNOWN)", "EMPTY": "", "NAME": "job-1", "LABEL": "x", "IP": "127.64.1.5",
        "CONFIG": "v", "SECRET": "p w",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"secretKeyRef": {"name": "none", "key": "k"}}, "Secret 'none' not found in namespace 'ns'"),
        ({"configMapKeyRef": {"name": "cm", "key": "k"}}, "ConfigMap 'cm' has no key 'k'"),
        ({"secretKeyRef": {"name": "s", "key": "binary"}}, "Secret 's': key 'binary' is not UTF-8"),
        ({"fieldRef": {"fieldPath": "spec.hostNetwork"}}, "spec.hostNetwork"),
        ({"resourceFieldRef": {"resource": "limits.cpu"}}, "resourceFieldRef"),
    ],
)
async def test_a_variable_without_a_value_is_named(source: Json, message: str) -> None:
    api = FakeApi(cm=config_map(), s=secret(binary=b"\xff\xfe"))
    with pytest.raises(ConfigError, match=message):
        await environment(api, taken_from(**source))


async def test_every_kind_of_volume(tmp_path: Path) -> None:
    item = {"path": "config.json", "fieldRef": {"fieldPath": "metadata.annotations['trainyard.dev/config']"}}
    sources = [
        {"serviceAccountToken": {"path": "token", "audience": "job-1"}},
        {"downwardAPI": {"items": [item]}},
        {"configMap": {"name": "cm", "items": [{"key": "k", "path": "sub/k"}]}},
        {"secret": {"name": "none", "optional": True}},
    ]
    volumes = [
        {"name": "run", "projected": {"sources": sources}},
        {"name": "work", "emptyDir": {}},
        {"name": "keys", "secret": {"secretName": "s", "defaultMode": 0o440}},
        {"name": "all", "configMap": {"name": "cm"}},
        {"name": "data", "persistentVolumeClaim": {"claimName": "claim"}},
    ]
    api = FakeApi(cm=config_map(k="v", other=""), s=secret(password=b"p w"), claim={"spec": {"volumeName": "volume-1"}})
    folders = await PodVolumes(api, tmp_path / "own", tmp_path / "claims").prepare(pod_with(volumes=volumes))
    files = {
        name: {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}
        for name, folder in folders.items()
    }
    token = "/api/v1/namespaces/ns/serviceaccounts/default/token ['job-1']"
    assert files == {
        "run": {"token": token, "config.json": "{}", "sub/k": "v"},
        "work": {},
        "keys": {"password": "p w"},
        "all": {"k": "v", "other": ""},
        "data": {},
    }
    assert folders["data"] == tmp_path / "claims/volume-1"


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ({"configMap": {"name": "none"}}, "volume 'v': ConfigMap 'none' not found"),
        ({"secret": {"secretName": "s", "items": [{"key": "no", "path": "p"}]}}, "Secret 's' has no key 'no'"),
        ({"persistentVolumeClaim": {"claimName": "new"}}, "PersistentVolumeClaim 'new' is not bound"),
        ({"nfs": {"server": "x"}}, "does not support nfs volumes"),
        ({"projected": {"sources": [{"podCertificate": {}}]}}, "podCertificate"),
    ],
)
async def test_a_volume_without_content_is_named(volume: Json, message: str, tmp_path: Path) -> None:
    api = FakeApi(s=secret(), new={"spec": {}})
    with pytest.raises(ConfigError, match=message):
        await PodVolumes(api, tmp_path, tmp_path).prepare(pod_with(volumes=[{"name": "v", **volume}]))


def test_an_unknown_image_names_the_known_ones() -> None:
    programs = {"trainer": Program(("/bin/t",))}
    for image in ("trainer", "ghcr.io/acme/trainer:1.2@sha256:abc", "localhost:5000/trainer:dev"):
        assert find_program(programs, image) is programs["trainer"]
    with pytest.raises(ImageUnknownError, match=r"'nginx:1'.*known: trainer"):
        find_program(programs, "nginx:1")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"command": ["c"], "args": ["a"]}, ("c", "a")),
        ({"command": ["c"]}, ("c",)),
        ({"args": ["a"]}, ("/bin/t", "a")),
        ({}, ("/bin/t",)),
    ],
)
def test_command_and_args_override_as_in_kubernetes(fields: Json, expected: tuple[str, ...]) -> None:
    assert Program(("/bin/t",)).command_line(pod_with(fields).spec.containers[0]) == expected


def test_the_file_of_programs_can_be_read_again(tmp_path: Path) -> None:
    programs = {"t": Program(("/bin/t", "x"), {"K": "v"})}
    write_programs(tmp_path / "programs.json", programs)
    assert read_programs(tmp_path / "programs.json") == programs


def paths(rootfs: Path, *mounts: tuple[str, ...]) -> ContainerPaths:
    fields = [dict(zip(("name", "mountPath", "subPath"), mount, strict=False)) for mount in mounts]
    return ContainerPaths(rootfs, Container.model_validate({"name": "c", "image": "i", "volumeMounts": fields}))


@pytest.mark.parametrize(
    ("value", "moved"),
    [
        ("/data", True),
        ("/data/in/x.csv", True),
        ("/var/run", True),
        ("/var/run/trainyard/token", True),
        ("/dev/termination-log", True),
        ("/", False),
        ("/database", False),
        ("/dev", False),
        ("/usr/bin/env", False),
        ("data/x", False),
        ("s3://data", False),
    ],
)
def test_only_paths_of_mounts_are_rewritten(value: str, moved: bool) -> None:
    rewriter = paths(Path("/pods/1/rootfs"), ("d", "/data/"), ("r", "/var/run/trainyard"))
    assert rewriter.rewrite(value) == (f"/pods/1/rootfs{value}" if moved else value)


def test_mounts_nest_and_can_be_repeated(tmp_path: Path) -> None:
    outer, inner, rootfs = tmp_path / "outer", tmp_path / "inner", tmp_path / "rootfs"
    outer.mkdir()
    inner.mkdir()
    (inner / "key").write_text("v")
    mounts = paths(rootfs, ("inner", "/a/b"), ("outer", "/a"), ("inner", "/file", "key"), ("outer", "/sub", "s/t"))
    for _ in range(2):
        mounts.link_mounts({"outer": outer, "inner": inner})
    assert (rootfs / "a/b/key").read_text() == "v"
    assert (rootfs / "file").read_text() == "v"
    (rootfs / "sub/x").write_text("1")
    assert (outer / "s/t/x").exists()


def test_a_mount_over_everything_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mounted at '/'"):
        paths(tmp_path, ("v", "/")).link_mounts({"v": tmp_path})
