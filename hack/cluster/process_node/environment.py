"""Environment variables of a container, and what a pod refers to: its own fields, Secrets and ConfigMaps."""

import base64
import re
from collections.abc import Mapping

from cluster.process_node.client import ApiClient, ApiError, Json
from cluster.process_node.pods import Container, Pod

_REFERENCE = re.compile(r"\$\$|\$\(([^)]*)\)")
_KEYED_FIELD = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
_RESOURCES = {"ConfigMap": "configmaps", "Secret": "secrets"}


class ConfigError(Exception):
    """A container cannot start yet. A kubelet reports CreateContainerConfigError and tries again."""


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)` with its value, and `$$` with `$`. An unknown name stays as it is."""

    def value(match: re.Match[str]) -> str:
        if match.group() == "$$":
            return "$"
        return variables.get(match.group(1), match.group())

    return _REFERENCE.sub(value, text)


async def build_environment(
    client: ApiClient, pod: Pod, container: Container, base: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables of a container: ``base``, then its `env`, where each entry sees the entries before it.

    Raises ApiError, or :class:`ConfigError` if an object or key does not exist and is not optional, or a source is not
    supported.
    """
    variables = dict(base)
    for entry in container.env:
        value = await _value(client, pod, entry, variables)
        if value is not None:
            variables[entry["name"]] = value
    return variables


async def _value(client: ApiClient, pod: Pod, entry: Json, variables: Mapping[str, str]) -> str | None:
    match entry.get("valueFrom"):
        case None:
            return expand(entry.get("value", ""), variables)
        case {"fieldRef": reference}:
            return field_value(pod, reference["fieldPath"])
        case {"configMapKeyRef": reference}:
            return await _key(client, pod, "ConfigMap", reference)
        case {"secretKeyRef": reference}:
            return await _key(client, pod, "Secret", reference)
        case origin:
            raise ConfigError(f"env {entry['name']!r}: a process node does not support {', '.join(origin)}")


async def _key(client: ApiClient, pod: Pod, kind: str, reference: Json) -> str | None:
    name, key, optional = reference["name"], reference["key"], bool(reference.get("optional"))
    value = (await read_data(client, pod, kind, name, optional=optional)).get(key)
    if value is None and not optional:
        raise ConfigError(f"{kind} {name!r} has no key {key!r}")
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{kind} {name!r}: key {key!r} is not UTF-8 text") from error


async def read_data(client: ApiClient, pod: Pod, kind: str, name: str, *, optional: bool) -> dict[str, bytes]:
    """Return the content of a Secret or ConfigMap. Raises :class:`ConfigError` if it must exist and does not."""
    try:
        found = await client.get(f"/api/v1/namespaces/{pod.metadata.namespace}/{_RESOURCES[kind]}/{name}")
    except ApiError as error:
        if error.status != 404:
            raise
        if optional:
            return {}
        raise ConfigError(f"{kind} {name!r} not found in namespace {pod.metadata.namespace!r}") from error
    data: dict[str, str] = found.get("data") or {}
    if kind == "ConfigMap":
        return {key: value.encode() for key, value in data.items()}
    return {key: base64.b64decode(value) for key, value in data.items()}


def field_value(pod: Pod, path: str) -> str:
    """Return a field of the downward API. A missing label or annotation is empty. Raises :class:`ConfigError`."""
    if match := _KEYED_FIELD.fullmatch(path):
        values: dict[str, str] = getattr(pod.metadata, match.group(1))
        return values.get(match.group(2), "")
    match path:
        case "metadata.name" | "metadata.namespace" | "metadata.uid":
            return str(getattr(pod.metadata, path.removeprefix("metadata.")))
        case "status.podIP":
            return pod.address
        case _:
            raise ConfigError(f"a process node does not support the fieldPath {path!r}")
