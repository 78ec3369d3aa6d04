"""Environment variables of a container, from everywhere Kubernetes takes them. Pure: sources are fetched before."""

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Literal, NamedTuple

from cluster.process_node.podspec import Container, Json, Pod

_REFERENCE = re.compile(r"\$\$|\$\(([^)]*)\)")
_KEYED_FIELD = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
_SUFFIXES = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate(("k", "M", "G", "T", "P", "E"), start=1)},
    **{suffix: Decimal(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)},
}  # fmt: skip


class ConfigError(Exception):
    """The container cannot be configured yet; a kubelet reports CreateContainerConfigError and tries again."""


class Source(NamedTuple):
    """A ConfigMap or Secret of the pod's namespace."""

    kind: Literal["ConfigMap", "Secret"]
    name: str


Sources = Mapping[Source, Mapping[str, bytes] | None]
"""Content of each source by key; None where the object does not exist."""


class _Context(NamedTuple):
    pod: Pod
    container: Container
    sources: Sources
    allocatable: Mapping[str, str]


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by its value; an unknown name stays as written, and `$$` is a plain dollar sign."""

    def value(match: re.Match[str]) -> str:
        if match.group() == "$$":
            return "$"
        return variables.get(match.group(1), match.group())

    return _REFERENCE.sub(value, text)


def sources_of(container: Container) -> set[Source]:
    """Name every ConfigMap and Secret that the container's environment refers to."""
    found: set[Source] = set()
    for entry in container.env_from:
        found.add(_env_from_reference(entry)[0])
    for entry in container.env:
        match entry.get("valueFrom"):
            case {"configMapKeyRef": reference}:
                found.add(Source("ConfigMap", reference["name"]))
            case {"secretKeyRef": reference}:
                found.add(Source("Secret", reference["name"]))
    return found


def build_environment(
    pod: Pod, container: Container, sources: Sources, base: Mapping[str, str], allocatable: Mapping[str, str]
) -> dict[str, str]:
    """Build the variables in Kubernetes' order: `base`, then envFrom, then env, each entry seeing those before it.

    Parameters
    ----------
    base
        What every container gets: the image's own variables, the API server's address, HOSTNAME.
    allocatable
        The node's resources, the value of a limit that the container does not set.

    Raises
    ------
    ConfigError
        A source or key is missing and not optional, or a reference is not understood.
    """
    variables = dict(base)
    for entry in container.env_from:
        reference, optional = _env_from_reference(entry)
        content = _content(sources, reference, optional=optional)
        variables |= {entry.get("prefix", "") + key: _text(reference, key, value) for key, value in content.items()}
    for entry in container.env:
        value = _value(entry, _Context(pod, container, sources, allocatable), variables)
        if value is not None:
            variables[entry["name"]] = value
    return variables


def _env_from_reference(entry: Json) -> tuple[Source, bool]:
    if "configMapRef" in entry:
        return Source("ConfigMap", entry["configMapRef"]["name"]), bool(entry["configMapRef"].get("optional"))
    return Source("Secret", entry["secretRef"]["name"]), bool(entry["secretRef"].get("optional"))


def _value(entry: Json, context: _Context, variables: Mapping[str, str]) -> str | None:
    origin = entry.get("valueFrom")
    match origin:
        case None:
            return expand(entry.get("value", ""), variables)
        case {"fieldRef": reference}:
            return field_value(context.pod, reference["fieldPath"])
        case {"resourceFieldRef": reference}:
            return resource_value(context.pod, reference, context.allocatable, context.container.name)
        case {"configMapKeyRef": reference}:
            return _key(context.sources, Source("ConfigMap", reference["name"]), reference)
        case {"secretKeyRef": reference}:
            return _key(context.sources, Source("Secret", reference["name"]), reference)
        case _:
            raise ConfigError(f"env {entry['name']!r}: a process node does not offer {', '.join(origin)}")


def _key(sources: Sources, source: Source, reference: Json) -> str | None:
    optional = bool(reference.get("optional"))
    value = _content(sources, source, optional=optional).get(reference["key"])
    if value is None and not optional:
        raise ConfigError(f"couldn't find key {reference['key']!r} in {source.kind} {source.name!r}")
    return None if value is None else _text(source, reference["key"], value)


def _content(sources: Sources, source: Source, *, optional: bool) -> Mapping[str, bytes]:
    content = sources.get(source)
    if content is None and not optional:
        raise ConfigError(f"{source.kind.lower()} {source.name!r} not found")
    return content or {}


def _text(source: Source, key: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{source.kind.lower()} {source.name!r}: key {key!r} is no text") from error


def field_value(pod: Pod, path: str) -> str:
    """Resolve a downward API field, e.g. `metadata.labels['app']`; a missing label or annotation is empty.

    Raises
    ------
    ConfigError
        The field is none that the downward API has.
    """
    metadata, status = pod.raw["metadata"], pod.raw.get("status", {})
    if match := _KEYED_FIELD.fullmatch(path):
        return str(metadata.get(match.group(1), {}).get(match.group(2), ""))
    match path:
        case "metadata.name" | "metadata.namespace" | "metadata.uid":
            return str(metadata[path.removeprefix("metadata.")])
        case "metadata.labels" | "metadata.annotations":
            pairs = metadata.get(path.removeprefix("metadata."), {})
            return "\n".join(f'{key}="{_escaped(value)}"' for key, value in sorted(pairs.items()))
        case "spec.nodeName":
            return str(pod.raw["spec"].get("nodeName", ""))
        case "spec.serviceAccountName":
            return pod.service_account
        case "status.podIP" | "status.podIPs" | "status.hostIP" | "status.hostIPs":
            return str(status.get(path.removeprefix("status.").removesuffix("s"), ""))
        case _:
            raise ConfigError(f"fieldPath {path!r} is none that the downward API has")


def resource_value(pod: Pod, reference: Json, allocatable: Mapping[str, str], container_name: str) -> str:
    """Resolve a resourceFieldRef in units of its divisor, rounded up as a kubelet does.

    Raises
    ------
    ConfigError
        The resource or container is not known.
    """
    wanted = reference.get("containerName") or container_name
    container = next((each for each in (*pod.init_containers, *pod.containers) if each.name == wanted), None)
    kind, _, resource = reference["resource"].partition(".")
    if container is None or kind not in {"limits", "requests"} or not resource:
        raise ConfigError(f"resourceFieldRef {reference['resource']!r} of container {wanted!r} is not known")
    given = container.resources.get(kind, {}).get(resource)
    text = given if given is not None else (allocatable.get(resource, "0") if kind == "limits" else "0")
    divisor = parse_quantity(str(reference.get("divisor") or "1")) or Decimal(1)
    return str(math.ceil(parse_quantity(text) / divisor))


def parse_quantity(text: str) -> Decimal:
    """Read a Kubernetes quantity: `100m` -> 0.1, `1Gi` -> 1073741824.

    Raises
    ------
    ConfigError
        It is no quantity.
    """
    match = re.fullmatch(r"([+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?)([numkMGTPE]?|[KMGTPE]i)", text)
    if match is None:
        raise ConfigError(f"{text!r} is no quantity")
    return Decimal(match.group(1)) * _SUFFIXES[match.group(2)]


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
