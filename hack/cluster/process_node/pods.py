"""The fields of a Pod that the process node uses. All other fields are ignored."""

from typing import Literal

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from cluster.process_node.client import Json


class _Wire(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, frozen=True)


class Mount(_Wire):
    """One volume mount of a container."""

    name: str
    mount_path: str
    sub_path: str = ""


class Probe(_Wire):
    """A readiness, liveness or startup probe. The port is a number or the name of a container port."""

    http_get: Json | None = None
    period_seconds: float = 10
    timeout_seconds: float = 1
    failure_threshold: int = 3


class Container(_Wire):
    """One container of a pod, init or main."""

    name: str
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[Json, ...] = ()
    env_from: tuple[Json, ...] = ()
    volume_mounts: tuple[Mount, ...] = ()
    ports: tuple[Json, ...] = ()
    working_dir: str = ""
    termination_message_path: str = "/dev/termination-log"
    termination_message_policy: Literal["File", "FallbackToLogsOnError"] = "File"
    readiness_probe: Probe | None = None
    liveness_probe: Probe | None = None
    startup_probe: Probe | None = None
    lifecycle: Json | None = None
    restart_policy: str | None = None

    def unsupported(self) -> list[str]:
        """Return the fields that change what this container does, and that a process node does not support."""
        probes = (self.readiness_probe, self.liveness_probe, self.startup_probe)
        fields = {
            "envFrom": self.env_from,
            "lifecycle": self.lifecycle,
            "workingDir": self.working_dir,
            "restartPolicy of a container": self.restart_policy,
            "probes other than httpGet": any(probe and probe.http_get is None for probe in probes),
        }
        return [name for name, value in fields.items() if value]


class PodSpec(_Wire):
    """The spec of a pod."""

    containers: tuple[Container, ...]
    init_containers: tuple[Container, ...] = ()
    restart_policy: Literal["Always", "OnFailure", "Never"] = "Always"
    service_account_name: str = "default"
    termination_grace_period_seconds: int = 30
    volumes: tuple[Json, ...] = ()


class Metadata(_Wire):
    """The metadata of a pod. During a deletion, its grace period replaces that of the spec."""

    namespace: str
    name: str
    uid: str
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None


class Pod(_Wire):
    """A pod of this node, with the address that the node gave to it."""

    address: str
    metadata: Metadata
    spec: PodSpec

    @property
    def path(self) -> str:
        """Its path in the API."""
        return f"/api/v1/namespaces/{self.metadata.namespace}/pods/{self.metadata.name}"
