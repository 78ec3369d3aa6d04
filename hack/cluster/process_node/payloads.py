"""The files that ConfigMap, Secret, downwardAPI and projected volumes show. Sources are fetched before."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from cluster.process_node.environment import ConfigError, Source, Sources, field_value, resource_value
from cluster.process_node.podspec import Json, Pod

DEFAULT_TOKEN_SECONDS = 3600
_DEFAULT_MODE = 0o644


class VolumeError(Exception):
    """A volume that cannot be shown yet; a kubelet reports FailedMount and tries again."""


class FileContent(NamedTuple):
    """One file of a volume."""

    data: bytes
    mode: int


class TokenSpec(NamedTuple):
    """A service-account token that a projected volume asks for; an empty audience is the API server's own."""

    audience: str
    seconds: int


Payload = dict[str, FileContent]
"""Files of a volume by their path inside it."""


def sources_of_volumes(pod: Pod) -> set[Source]:
    """Name every ConfigMap and Secret that the pod's volumes show."""
    return {source for volume in pod.volumes for part in _parts(volume) if (source := _source(part)) is not None}


def token_specs(pod: Pod) -> set[TokenSpec]:
    """Name every service-account token that the pod's volumes show."""
    return {
        _token_spec(part["serviceAccountToken"])
        for volume in pod.volumes
        for part in _parts(volume)
        if "serviceAccountToken" in part
    }


def build_payload(
    pod: Pod, volume: Json, sources: Sources, tokens: Mapping[TokenSpec, str], allocatable: Mapping[str, str]
) -> Payload | None:
    """Build the files of a volume; None for a volume that is a folder of its own (emptyDir, hostPath, a claim).

    Raises
    ------
    VolumeError
        A source or key is missing and not optional, or the kind of volume is not offered.
    """
    if any(kind in volume for kind in ("emptyDir", "hostPath", "persistentVolumeClaim")):
        return None
    files: Payload = {}
    for part in _parts(volume):
        files |= _files(part, _Context(pod, volume["name"], sources, tokens, allocatable))
    return files


def write_payload(folder: Path, payload: Payload) -> None:
    """Make `folder` hold exactly these files. Each is replaced in one step: a reader never sees half of one."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in payload.items():
        file = folder / path
        if file.exists() and file.read_bytes() == content.data:
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_name(f".{file.name}.new")
        fresh.write_bytes(content.data)
        fresh.chmod(content.mode)
        fresh.replace(file)
    for parent, _, names in os.walk(folder):
        for name in names:
            file = Path(parent, name)
            if str(file.relative_to(folder)) not in payload:
                file.unlink()


def _parts(volume: Json) -> Iterator[Json]:
    """Yield the sources of a volume, each in the form of a projected source, the volume's default mode beside it."""
    match volume:
        case {"projected": projected}:
            for part in projected.get("sources", []):
                yield {**part, "defaultMode": projected.get("defaultMode", _DEFAULT_MODE)}
        case {"secret": secret}:
            yield {
                "secret": {**secret, "name": secret["secretName"]},
                "defaultMode": secret.get("defaultMode", _DEFAULT_MODE),
            }
        case {"configMap": reference}:
            yield {"configMap": reference, "defaultMode": reference.get("defaultMode", _DEFAULT_MODE)}
        case {"downwardAPI": reference}:
            yield {"downwardAPI": reference, "defaultMode": reference.get("defaultMode", _DEFAULT_MODE)}
        case {"emptyDir": _} | {"hostPath": _} | {"persistentVolumeClaim": _}:
            return
        case _:
            kinds = ", ".join(sorted(set(volume) - {"name"}))
            raise VolumeError(f"volume {volume['name']!r}: a process node does not offer {kinds} volumes")


def _source(part: Json) -> Source | None:
    match part:
        case {"secret": reference}:
            return Source("Secret", reference["name"])
        case {"configMap": reference}:
            return Source("ConfigMap", reference["name"])
        case _:
            return None


def _token_spec(reference: Json) -> TokenSpec:
    return TokenSpec(reference.get("audience", ""), reference.get("expirationSeconds", DEFAULT_TOKEN_SECONDS))


class _Context(NamedTuple):
    pod: Pod
    volume: str
    sources: Sources
    tokens: Mapping[TokenSpec, str]
    allocatable: Mapping[str, str]


def _files(part: Json, context: _Context) -> Payload:
    mode = part["defaultMode"]
    match part:
        case {"secret": reference} | {"configMap": reference}:
            return _source_files(reference, _source(part), context, mode)
        case {"downwardAPI": reference}:
            return _downward_files(reference, context, mode)
        case {"serviceAccountToken": reference}:
            return {reference["path"]: FileContent(context.tokens[_token_spec(reference)].encode(), mode)}
        case _:
            kinds = ", ".join(sorted(set(part) - {"defaultMode"}))
            raise VolumeError(f"volume {context.volume!r}: a process node does not offer the projected source {kinds}")


def _source_files(reference: Json, source: Source | None, context: _Context, mode: int) -> Payload:
    optional = bool(reference.get("optional"))
    content = context.sources.get(source) if source else None
    if content is None:
        if optional or source is None:
            return {}
        raise VolumeError(f"volume {context.volume!r}: {source.kind.lower()} {source.name!r} not found")
    if not (items := reference.get("items")):
        return {key: FileContent(data, mode) for key, data in content.items()}
    files: Payload = {}
    for item in items:
        if item["key"] in content:
            files[item["path"]] = FileContent(content[item["key"]], item.get("mode", mode))
        elif not optional:
            raise VolumeError(f"volume {context.volume!r}: {reference['name']!r} has no key {item['key']!r}")
    return files


def _downward_files(reference: Json, context: _Context, mode: int) -> Payload:
    files: Payload = {}
    for item in reference.get("items", []):
        try:
            if "fieldRef" in item:
                text = field_value(context.pod, item["fieldRef"]["fieldPath"])
            else:
                text = resource_value(context.pod, item["resourceFieldRef"], context.allocatable, "")
        except ConfigError as error:
            raise VolumeError(f"volume {context.volume!r}: {error}") from error
        files[item["path"]] = FileContent(text.encode(), item.get("mode", mode))
    return files
