"""The parts of a Pod that the process node acts on, read once from the wire form.

Environment entries and volumes stay in wire form: `environment` and `payloads` are the only readers of their variants.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Json = dict[str, Any]

DEFAULT_GRACE_SECONDS = 30
DEFAULT_TERMINATION_PATH = "/dev/termination-log"


@dataclass(frozen=True)
class Mount:
    """One volume mount of a container."""

    volume: str
    path: str
    sub_path: str = ""
    sub_path_expression: str = ""


@dataclass(frozen=True)
class Probe:
    """A readiness, liveness or startup probe; times in seconds. `action` is the wire form of its one check."""

    kind: Literal["httpGet", "tcpSocket", "exec", "grpc"]
    action: Json
    initial_delay: float = 0
    period: float = 10
    timeout: float = 1
    success_threshold: int = 1
    failure_threshold: int = 3


@dataclass(frozen=True)
class Container:
    """One container of a pod, init or ordinary."""

    name: str
    image: str
    command: tuple[str, ...] | None
    args: tuple[str, ...] | None
    env: tuple[Json, ...]
    env_from: tuple[Json, ...]
    mounts: tuple[Mount, ...]
    ports: Mapping[str, int]
    resources: Mapping[str, Mapping[str, str]]
    working_dir: str
    termination_path: str
    log_is_message_on_error: bool
    readiness: Probe | None
    liveness: Probe | None
    startup: Probe | None
    grace_seconds: float


@dataclass(frozen=True)
class Pod:
    """A pod as bound to this node. `raw` is the object itself, for the downward API."""

    namespace: str
    name: str
    uid: str
    raw: Json
    init_containers: tuple[Container, ...]
    containers: tuple[Container, ...]
    restart_policy: Literal["Always", "OnFailure", "Never"]
    service_account: str
    volumes: tuple[Json, ...]
    grace_seconds: int
    active_deadline_seconds: int | None
    deleting: bool

    @property
    def key(self) -> str:
        """`namespace/name`, as people write it."""
        return f"{self.namespace}/{self.name}"

    @property
    def phase(self) -> str:
        """The phase that the API server holds."""
        return str(self.raw.get("status", {}).get("phase") or "Pending")

    @property
    def finished(self) -> bool:
        """Whether the pod has ended for good."""
        return self.phase in {"Succeeded", "Failed"}


def read_pod(raw: Json) -> Pod:
    """Read a Pod object as the API server sends it, defaults filled in."""
    metadata, spec = raw["metadata"], raw["spec"]
    grace = metadata.get("deletionGracePeriodSeconds", spec.get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS))
    return Pod(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        raw=raw,
        init_containers=tuple(_container(each, spec) for each in spec.get("initContainers", [])),
        containers=tuple(_container(each, spec) for each in spec["containers"]),
        restart_policy=spec.get("restartPolicy", "Always"),
        service_account=spec.get("serviceAccountName", "default"),
        volumes=tuple(spec.get("volumes", [])),
        grace_seconds=grace,
        active_deadline_seconds=spec.get("activeDeadlineSeconds"),
        deleting="deletionTimestamp" in metadata,
    )


def not_offered(pod: Pod) -> list[str]:
    """Name the fields of the pod that change what a container does and that a process node cannot honour."""
    spec = pod.raw["spec"]
    found = ["lifecycle hooks" for each in spec["containers"] if each.get("lifecycle")]
    found += ["sidecar init containers" for each in spec.get("initContainers", []) if each.get("restartPolicy")]
    probes = [probe for each in pod.containers for probe in (each.readiness, each.liveness, each.startup) if probe]
    found += ["grpc probes" for probe in probes if probe.kind == "grpc"]
    found += ["ephemeral containers"] if spec.get("ephemeralContainers") else []
    return sorted(set(found))


def _container(raw: Json, spec: Json) -> Container:
    return Container(
        name=raw["name"],
        image=raw.get("image", ""),
        command=tuple(raw["command"]) if raw.get("command") else None,
        args=tuple(raw["args"]) if raw.get("args") else None,
        env=tuple(raw.get("env", [])),
        env_from=tuple(raw.get("envFrom", [])),
        mounts=tuple(_mount(each) for each in raw.get("volumeMounts", [])),
        ports={each["name"]: each["containerPort"] for each in raw.get("ports", []) if each.get("name")},
        resources=raw.get("resources", {}),
        working_dir=raw.get("workingDir", ""),
        termination_path=raw.get("terminationMessagePath", DEFAULT_TERMINATION_PATH),
        log_is_message_on_error=raw.get("terminationMessagePolicy") == "FallbackToLogsOnError",
        readiness=_probe(raw.get("readinessProbe")),
        liveness=_probe(raw.get("livenessProbe")),
        startup=_probe(raw.get("startupProbe")),
        grace_seconds=spec.get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS),
    )


def _mount(raw: Json) -> Mount:
    return Mount(raw["name"], raw["mountPath"], raw.get("subPath", ""), raw.get("subPathExpr", ""))


def _probe(raw: Json | None) -> Probe | None:
    if raw is None:
        return None
    kinds: tuple[Literal["httpGet", "tcpSocket", "exec", "grpc"], ...] = ("httpGet", "tcpSocket", "exec", "grpc")
    kind = next(each for each in kinds if each in raw)
    return Probe(
        kind=kind,
        action=raw[kind],
        initial_delay=raw.get("initialDelaySeconds", 0),
        period=raw.get("periodSeconds", 10),
        timeout=raw.get("timeoutSeconds", 1),
        success_threshold=raw.get("successThreshold", 1),
        failure_threshold=raw.get("failureThreshold", 3),
    )
