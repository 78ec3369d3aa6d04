"""Environment of a container, image mapping, and paths: the pure parts of the process node."""

from pathlib import Path
from typing import Any

import pytest

from cluster.process_node.environment import (
    ConfigError,
    Source,
    build_environment,
    expand,
    field_value,
    parse_quantity,
    resource_value,
    sources_of,
)
from cluster.process_node.mounts import MountError, PathMap, link_mounts
from cluster.process_node.podspec import Mount, Pod, read_pod
from cluster.process_node.programs import (
    ImageUnknownError,
    Program,
    command_line,
    find_program,
    read_programs,
    repository,
    write_programs,
)


def pod_with(container: dict[str, Any] | None = None, **spec: Any) -> Pod:
    metadata = {
        "namespace": "team",
        "name": "job-1-abc",
        "uid": "u-1",
        "labels": {"app": "x"},
        "annotations": {"a/b": 'say "hi"'},
    }
    main = {"name": "main", "image": "trainer:1", **(container or {})}
    return read_pod(
        {
            "metadata": metadata,
            "spec": {"nodeName": "n1", "serviceAccountName": "sa", "containers": [main], **spec},
            "status": {"podIP": "127.64.1.5", "hostIP": "127.64.0.1"},
        }
    )


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
def test_expansion_is_that_of_kubernetes(text: str, expected: str) -> None:
    assert expand(text, {"A": "1"}) == expected


def environment(container: dict[str, Any], sources: dict[Source, Any] | None = None) -> dict[str, str]:
    pod = pod_with(container)
    return build_environment(pod, pod.containers[0], sources or {}, {"BASE": "b"}, {"cpu": "2", "memory": "4Gi"})


def test_every_origin_of_a_variable() -> None:
    container = {
        "resources": {"limits": {"memory": "1Gi", "cpu": "1500m"}},
        "envFrom": [
            {"prefix": "P_", "configMapRef": {"name": "cm"}},
            {"secretRef": {"name": "none", "optional": True}},
        ],
        "env": [
            {"name": "PLAIN", "value": "$(BASE)-$(P_k)"},
            {"name": "EMPTY"},
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "SA", "valueFrom": {"fieldRef": {"fieldPath": "spec.serviceAccountName"}}},
            {"name": "MIB", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
            {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "password"}}},
            {"name": "ABSENT", "valueFrom": {"secretKeyRef": {"name": "s", "key": "no", "optional": True}}},
        ],
    }
    sources = {
        Source("ConfigMap", "cm"): {"k": b"v"},
        Source("Secret", "s"): {"password": b"p w"},
        Source("Secret", "none"): None,
    }
    assert environment(container, sources) == {
        "BASE": "b", "P_k": "v", "PLAIN": "b-v", "EMPTY": "", "NAME": "job-1-abc", "LABEL": "x", "IP": "127.64.1.5",
        "SA": "sa", "MIB": "1024", "CPUS": "2", "SECRET": "p w",
    }  # fmt: skip
    assert sources_of(pod_with(container).containers[0]) == set(sources)


@pytest.mark.parametrize(
    ("value_from", "said"),
    [
        ({"secretKeyRef": {"name": "s", "key": "k"}}, "secret 's' not found"),
        ({"configMapKeyRef": {"name": "cm", "key": "k"}}, "couldn't find key 'k' in ConfigMap 'cm'"),
        ({"fieldRef": {"fieldPath": "spec.hostNetwork"}}, "spec.hostNetwork"),
        ({"resourceFieldRef": {"resource": "limits.cpu", "containerName": "other"}}, "'other'"),
        ({"fileKeyRef": {"path": "x"}}, "does not offer fileKeyRef"),
    ],
)
def test_what_cannot_be_resolved_is_named(value_from: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("(", r"\(")):
        environment({"env": [{"name": "X", "valueFrom": value_from}]}, {Source("ConfigMap", "cm"): {}})


def test_binary_data_is_no_variable() -> None:
    container = {"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}
    with pytest.raises(ConfigError, match="key 'k' is no text"):
        environment(container, {Source("Secret", "s"): {"k": b"\xff\xfe"}})


def test_annotations_as_a_file_are_quoted() -> None:
    assert field_value(pod_with(), "metadata.annotations") == r'a/b="say \"hi\""'


def test_missing_limit_is_the_nodes_share() -> None:
    assert resource_value(pod_with(), {"resource": "limits.cpu"}, {"cpu": "2"}, "main") == "2"
    assert resource_value(pod_with(), {"resource": "requests.cpu"}, {"cpu": "2"}, "main") == "0"


@pytest.mark.parametrize(
    ("text", "value"), [("100m", "0.1"), ("1Gi", "1073741824"), ("2", "2"), ("1e3", "1000"), ("1.5k", "1500")]
)
def test_quantities(text: str, value: str) -> None:
    assert str(parse_quantity(text).normalize()).replace("E+", "e") in {value, f"{float(value):g}"} or parse_quantity(
        text
    ) == int(value)


def test_no_quantity() -> None:
    with pytest.raises(ConfigError, match="'lots' is no quantity"):
        parse_quantity("lots")


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("trainer", "trainer"),
        ("trainer:1", "trainer"),
        ("ghcr.io/acme/trainer:1.2@sha256:abc", "acme/trainer"),
        ("localhost:5000/trainer:dev", "trainer"),
        ("localhost/trainer", "trainer"),
        ("acme/trainer", "acme/trainer"),
    ],
)
def test_repository_of_an_image(image: str, expected: str) -> None:
    assert repository(image) == expected


def test_unknown_image_says_what_is_known() -> None:
    programs = {"trainer": Program(("/bin/t",))}
    assert find_program(programs, "ghcr.io/acme/trainer:1") is programs["trainer"]
    with pytest.raises(ImageUnknownError, match=r"'nginx'.*known: trainer"):
        find_program(programs, "nginx:1")


def test_command_and_args_override_as_in_kubernetes() -> None:
    program = Program(("/bin/t",), ("--default",))
    both = pod_with({"command": ["c"], "args": ["a"]}).containers[0]
    assert command_line(program, both) == ("c", "a")
    assert command_line(program, pod_with({"command": ["c"]}).containers[0]) == ("c",)
    assert command_line(program, pod_with({"args": ["a"]}).containers[0]) == ("/bin/t", "a")
    assert command_line(program, pod_with().containers[0]) == ("/bin/t", "--default")
    assert command_line(Program(("/bin/t",), keeps_entrypoint=True), both) == ("/bin/t", "a")


def test_program_file_round_trip_and_refusals(tmp_path: Path) -> None:
    file = tmp_path / "programs.json"
    programs = {"t": Program(("/bin/t", "x"), ("a",), {"K": "v"}, keeps_entrypoint=True)}
    write_programs(file, programs)
    assert read_programs(file) == programs
    file.write_text('{"t": ["/bin/t"]}')
    assert read_programs(file) == {"t": Program(("/bin/t",))}
    for wrong in ('{"t": 5}', "[]", "{", '{"t": {"arguments": []}}'):
        file.write_text(wrong)
        with pytest.raises(ValueError, match=r"programs\.json"):
            read_programs(file)


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
    paths = PathMap(Path("/pods/1/rootfs"), ("/data/", "/var/run/trainyard"), "/dev/termination-log")
    assert paths.rewrite(value) == (f"/pods/1/rootfs{value}" if moved else value)


def test_mounts_nest_and_can_be_repeated(tmp_path: Path) -> None:
    outer, inner, rootfs = tmp_path / "outer", tmp_path / "inner", tmp_path / "rootfs"
    outer.mkdir()
    inner.mkdir()
    (inner / "key").write_text("v")
    mounts = (
        Mount("inner", "/a/b"),
        Mount("outer", "/a"),
        Mount("inner", "/file", "key"),
        Mount("outer", "/sub", "s/t"),
    )
    subs = {"/file": "key", "/sub": "s/t"}
    for _ in range(2):
        link_mounts(rootfs, mounts, {"outer": outer, "inner": inner}, subs)
    assert (rootfs / "a/b/key").read_text() == "v"
    assert (rootfs / "file").read_text() == "v"
    (rootfs / "sub/x").write_text("1")
    assert (outer / "s/t/x").exists()


def test_a_mount_over_everything_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MountError, match="mounted at '/'"):
        link_mounts(tmp_path, (Mount("v", "/"),), {"v": tmp_path}, {})
