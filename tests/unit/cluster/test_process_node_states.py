"""Pod status from container states, volumes' files, addresses, provisioning: the pure parts of the process node."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cluster.process_node.addresses import PodAddresses, claim_network
from cluster.process_node.environment import Source
from cluster.process_node.layout import NodeFolder
from cluster.process_node.payloads import (
    FileContent,
    TokenSpec,
    VolumeError,
    build_payload,
    sources_of_volumes,
    token_specs,
    write_payload,
)
from cluster.process_node.podspec import Pod, not_offered, read_pod
from cluster.process_node.provisioner import PROVISIONER, volume_for
from cluster.process_node.states import (
    ContainerRecord,
    PodAddress,
    PodVerdict,
    Progress,
    Running,
    Terminated,
    Waiting,
    phase,
    pod_status,
    recovered,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
WAITING = ContainerRecord("c", "i", Waiting("ContainerCreating"))
RUNNING = ContainerRecord("c", "i", Running(NOW), ready=True, started=True)


def ended(code: int, *, done: bool = True) -> ContainerRecord:
    return ContainerRecord("c", "i", Terminated(code, "Error" if code else "Completed", "bye", NOW, NOW), done=done)


CRASHING = replace(WAITING, state=Waiting("CrashLoopBackOff"), last_state=Terminated(1, "Error", "", NOW, NOW))
TOO_LATE = PodVerdict("DeadlineExceeded", "too late")


def pod(volumes: list[dict[str, Any]] | None = None) -> Pod:
    metadata = {"namespace": "team", "name": "p", "uid": "u-1", "annotations": {"cfg": "{}"}, "generation": 3}
    return read_pod(
        {"metadata": metadata, "spec": {"containers": [{"name": "c", "image": "i"}], "volumes": volumes or []}}
    )


@pytest.mark.parametrize(
    ("init", "main", "verdict", "expected"),
    [
        ([], [WAITING], None, "Pending"),
        ([], [RUNNING, WAITING], None, "Pending"),
        ([RUNNING], [WAITING], None, "Pending"),
        ([ended(0)], [RUNNING], None, "Running"),
        ([ended(1)], [WAITING], None, "Failed"),
        ([], [CRASHING], None, "Running"),
        ([], [ended(0), RUNNING], None, "Running"),
        ([], [ended(1, done=False)], None, "Running"),
        ([], [ended(0), ended(0)], None, "Succeeded"),
        ([], [ended(0), ended(65)], None, "Failed"),
        ([], [RUNNING], TOO_LATE, "Running"),
        ([], [ended(0)], TOO_LATE, "Failed"),
    ],
)
def test_phase(
    init: list[ContainerRecord], main: list[ContainerRecord], verdict: PodVerdict | None, expected: str
) -> None:
    assert phase(Progress(init, main, verdict)) == expected


def status(*main: ContainerRecord, held: list[dict[str, Any]] | None = None, now: datetime = NOW) -> dict[str, Any]:
    address = PodAddress("127.64.0.1", "127.64.1.1", NOW)
    return pod_status(pod(), address, Progress([], main), held or [], now)


def test_status_of_an_ended_container() -> None:
    written = status(ended(65))
    assert written["containerStatuses"][0]["state"]["terminated"] == {
        "exitCode": 65,
        "reason": "Error",
        "message": "bye",
        "startedAt": "2026-01-02T03:04:05Z",
        "finishedAt": "2026-01-02T03:04:05Z",
        "containerID": "process://u-1/c/0",
    }
    assert written["phase"] == "Failed"
    assert written["observedGeneration"] == 3


def test_conditions_keep_their_time_until_they_change() -> None:
    first = status(WAITING)
    later = status(RUNNING, held=first["conditions"], now=NOW + timedelta(seconds=9))
    times = {each["type"]: (each["status"], each["lastTransitionTime"]) for each in later["conditions"]}
    assert times["PodScheduled"] == ("True", "2026-01-02T03:04:05Z")
    assert times["Ready"] == ("True", "2026-01-02T03:04:14Z")
    assert status(RUNNING, held=later["conditions"], now=NOW + timedelta(seconds=60)) == later


def test_a_running_process_is_lost_with_its_node() -> None:
    held = {"restartCount": 2, "state": {"running": {"startedAt": "2026-01-02T03:00:00Z"}}}
    record = recovered(WAITING, held, NOW)
    assert isinstance(record.state, Terminated)
    assert (record.state.exit_code, record.state.reason, record.restarts) == (137, "ContainerStatusUnknown", 2)


def test_an_end_is_remembered_over_a_restart() -> None:
    written = status(ended(65))["containerStatuses"][0]
    assert recovered(WAITING, written, NOW).state == ended(65).state


PROJECTED = {
    "name": "run",
    "projected": {
        "defaultMode": 0o440,
        "sources": [
            {"serviceAccountToken": {"path": "token", "audience": "job-1", "expirationSeconds": 900}},
            {
                "downwardAPI": {
                    "items": [{"path": "config.json", "fieldRef": {"fieldPath": "metadata.annotations['cfg']"}}]
                }
            },
            {"configMap": {"name": "cm", "items": [{"key": "k", "path": "sub/k", "mode": 0o400}]}},
            {"secret": {"name": "s", "optional": True}},
        ],
    },
}


def test_projected_volume() -> None:
    bound = pod([PROJECTED])
    wanted = TokenSpec("job-1", 900)
    assert token_specs(bound) == {wanted}
    assert sources_of_volumes(bound) == {Source("ConfigMap", "cm"), Source("Secret", "s")}
    sources = {Source("ConfigMap", "cm"): {"k": b"v", "other": b""}, Source("Secret", "s"): None}
    assert build_payload(bound, PROJECTED, sources, {wanted: "tok"}, {}) == {
        "token": FileContent(b"tok", 0o440),
        "config.json": FileContent(b"{}", 0o440),
        "sub/k": FileContent(b"v", 0o400),
    }


@pytest.mark.parametrize(
    ("volume", "said"),
    [
        ({"name": "v", "configMap": {"name": "none"}}, "configmap 'none' not found"),
        ({"name": "v", "secret": {"secretName": "s", "items": [{"key": "no", "path": "p"}]}}, "has no key 'no'"),
        ({"name": "v", "nfs": {"server": "x"}}, "does not offer nfs volumes"),
        ({"name": "v", "projected": {"sources": [{"podCertificate": {}}]}}, "podCertificate"),
    ],
)
def test_a_volume_that_cannot_be_shown_is_named(volume: dict[str, Any], said: str) -> None:
    with pytest.raises(VolumeError, match=said):
        build_payload(pod([volume]), volume, {Source("Secret", "s"): {"k": b""}}, {}, {})


def test_files_follow_their_source(tmp_path: Path) -> None:
    write_payload(tmp_path, {"a": FileContent(b"1", 0o600), "d/b": FileContent(b"2", 0o644)})
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    before = (tmp_path / "d/b").stat().st_ino
    write_payload(tmp_path, {"a": FileContent(b"3", 0o600), "d/b": FileContent(b"2", 0o644)})
    assert (tmp_path / "a").read_bytes() == b"3"
    assert (tmp_path / "d/b").stat().st_ino == before
    write_payload(tmp_path, {})
    assert not [each for each in tmp_path.rglob("*") if each.is_file()]


def bound(name: str, uid: str, **extra: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "ns", "name": name, "uid": uid, "generateName": "web-"}, **extra}


def test_a_replaced_pod_gets_the_address_of_its_predecessor() -> None:
    addresses = PodAddresses(64)
    first = addresses.give(bound("web-1", "1"))
    assert first.after is None
    assert addresses.give(bound("web-1", "1")) == first
    second = addresses.give(bound("web-2", "2"))
    assert second.address != first.address
    third = addresses.give(bound("web-3", "3"), leaving={"1"})
    assert (third.address, third.after) == (first.address, "1")
    addresses.take_back("1")
    assert addresses.give(bound("web-4", "4")).address not in {first.address, second.address}
    addresses.take_back("3")
    assert addresses.give(bound("web-5", "5")) == first


def test_an_address_outlasts_the_node() -> None:
    held = PodAddresses(64).give(bound("web-1", "1")).address
    raw = bound("other", "9", status={"podIP": held})
    assert PodAddresses(64).give(raw).address == held
    assert PodAddresses(65).give(raw).address.startswith("127.65.")


def test_two_nodes_never_share_a_network() -> None:
    first, one = claim_network()
    second, other = claim_network()
    with first, second:
        assert one != other


def test_only_waiting_claims_of_our_class_get_a_volume(tmp_path: Path) -> None:
    claim: dict[str, Any] = {
        "metadata": {
            "namespace": "ns",
            "name": "data",
            "uid": "u",
            "annotations": {"volume.kubernetes.io/storage-provisioner": PROVISIONER},
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "sc",
        },
        "status": {"phase": "Pending"},
    }
    volume = volume_for(claim, NodeFolder(tmp_path))
    assert volume is not None
    assert volume["spec"]["hostPath"]["path"] == str(tmp_path / "claims/pvc-u")
    assert volume["spec"]["claimRef"]["uid"] == "u"
    assert volume_for({**claim, "status": {"phase": "Bound"}}, NodeFolder(tmp_path)) is None
    assert volume_for({**claim, "metadata": {**claim["metadata"], "annotations": {}}}, NodeFolder(tmp_path)) is None


def test_what_is_not_offered_is_named() -> None:
    raw = pod().raw
    raw["spec"]["containers"][0] |= {"lifecycle": {"preStop": {}}, "readinessProbe": {"grpc": {"port": 1}}}
    raw["spec"]["initContainers"] = [{"name": "s", "image": "i", "restartPolicy": "Always"}]
    assert not_offered(read_pod(raw)) == ["grpc probes", "lifecycle hooks", "sidecar init containers"]


def test_the_short_path_is_made_anew_and_removed(tmp_path: Path) -> None:
    node = NodeFolder(tmp_path / ("long" * 20))
    first = node.shorten()
    second = node.shorten()
    assert first.short
    assert second.short
    assert not first.short.parent.exists()
    pod_folder = second.pod("0863e110-9796-42f8-87b2-93a4e690280a").root
    assert len(str(pod_folder)) < 40
    pod_folder.mkdir()
    assert (node.pods / "93a4e690280a").is_dir()
    node.unshorten()
    assert not second.short.parent.exists()
    assert (node.pods / "93a4e690280a").is_dir()
