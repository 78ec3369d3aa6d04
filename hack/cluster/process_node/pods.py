"""The fields of a Pod that the process node uses. All other fields are ignored."""

from collections.abc import Iterator
from dataclasses import dataclass
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


class HttpGet(_Wire):
    """An HTTP request to the pod. ``port`` is a number or the name of a container port."""

    port: int | str
    path: str = "/"


class Probe(_Wire):
    """A readiness, liveness or startup probe."""

    http_get: HttpGet | None = None
    period_seconds: float = 10
    timeout_seconds: float = 1
    failure_threshold: int = 3


class Port(_Wire):
    """A port of a container."""

    container_port: int
    name: str = ""


class Container(_Wire):
    """One container of a pod, init or main."""

    name: str
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[Json, ...] = ()
    env_from: tuple[Json, ...] = ()
    volume_mounts: tuple[Mount, ...] = ()
    ports: tuple[Port, ...] = ()
    working_dir: str = ""
    termination_message_path: str = "/dev/termination-log"
    termination_message_policy: Literal["File", "FallbackToLogsOnError"] = "File"
    readiness_probe: Probe | None = None
    liveness_probe: Probe | None = None
    startup_probe: Probe | None = None
    lifecycle: Json | None = None
    restart_policy: str | None = None

    def not_offered(self) -> Iterator[str]:
        """Yield the fields of this container that change what it does, and that a process node does not support."""
        probes = (self.readiness_probe, self.liveness_probe, self.startup_probe)
        fields = {
            "envFrom": self.env_from,
            "lifecycle": self.lifecycle,
            "restartPolicy of a container": self.restart_policy,
            "probes other than httpGet": [probe for probe in probes if probe and probe.http_get is None],
        }
        yield from (name for name, value in fields.items() if value)


class PodSpec(_Wire):
    """The spec of a pod."""

    containers: tuple[Container, ...]
    init_containers: tuple[Container, ...] = ()
    restart_policy: Literal["Always", "OnFailure", "Never"] = "Always"
    service_account_name: str = "default"
    termination_grace_period_seconds: int = 30
    volumes: tuple[Json, ...] = ()


@dataclass(frozen=True)
class Pod:
    """A pod of this node. ``raw`` is the object of the API server, for the downward API."""

    raw: Json
    address: str
    spec: PodSpec

    @classmethod
    def read(cls, raw: Json, address: str) -> "Pod":
        """Read a Pod object as the API server sends it."""
        return cls(raw, address, PodSpec.model_validate(raw["spec"]))

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return str(self.raw["metadata"]["namespace"])

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.raw["metadata"]["name"])

    @property
    def uid(self) -> str:
        """Its uid."""
        return str(self.raw["metadata"]["uid"])

    @property
    def path(self) -> str:
        """Its path in the API."""
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"

    @property
    def deleting(self) -> bool:
        """Whether it is being deleted."""
        return "deletionTimestamp" in self.raw["metadata"]

    @property
    def grace_seconds(self) -> int:
        """Time between SIGTERM and SIGKILL. A deletion can set another time than the spec."""
        return int(self.raw["metadata"].get("deletionGracePeriodSeconds", self.spec.termination_grace_period_seconds))
