"""The volumes of one pod, as folders."""

from pathlib import Path

from cluster.process_node.client import ApiClient, Json
from cluster.process_node.environment import ConfigError, field_value, read_data
from cluster.process_node.pods import Pod

_TOKEN_SECONDS = 3600


class PodVolumes:
    """The volumes of one pod: its own are in ``folder``, and persistent ones are in ``claims``."""

    def __init__(self, client: ApiClient, folder: Path, claims: Path) -> None:
        self._client = client
        self._folder = folder
        self._claims = claims

    async def prepare(self, pod: Pod) -> dict[str, Path]:
        """Write the files of all volumes, with new tokens; return the folder of each volume by its name.

        Raises ApiError, or :class:`ConfigError` if an object or key does not exist, a claim is not bound, or a kind of
        volume is not supported.
        """
        return {volume["name"]: await self._prepare(pod, volume) for volume in pod.spec.volumes}

    async def _prepare(self, pod: Pod, volume: Json) -> Path:
        name = str(volume["name"])
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        match volume:
            case {"emptyDir": _}:
                return folder
            case {"persistentVolumeClaim": {"claimName": claim}}:
                return await self._claim(pod, claim)
            case {"secret": {"secretName": secret, **rest}}:
                parts: list[Json] = [{"secret": {"name": secret, **rest}}]
            case {"configMap": reference}:
                parts = [{"configMap": reference}]
            case {"projected": {"sources": sources}}:
                parts = sources
            case _:
                kinds = ", ".join(volume.keys() - {"name"})
                raise ConfigError(f"volume {name!r}: a process node does not support {kinds} volumes")
        try:
            for part in parts:
                for path, content in (await self._files(pod, part)).items():
                    _write(folder / path, content)
        except ConfigError as error:
            raise ConfigError(f"volume {name!r}: {error}") from error
        return folder

    async def _claim(self, pod: Pod, name: str) -> Path:
        claim = await self._client.get(f"/api/v1/namespaces/{pod.metadata.namespace}/persistentvolumeclaims/{name}")
        volume = str(claim["spec"].get("volumeName", ""))
        if not volume:
            raise ConfigError(f"PersistentVolumeClaim {name!r} is not bound to a volume")
        folder = self._claims / volume
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    async def _files(self, pod: Pod, part: Json) -> dict[str, bytes]:
        """Return the files of one source of a projected volume."""
        match part:
            case {"secret": reference}:
                return await self._keys(pod, "Secret", reference)
            case {"configMap": reference}:
                return await self._keys(pod, "ConfigMap", reference)
            case {"downwardAPI": {"items": items}}:
                fields = {item["path"]: item.get("fieldRef", {}).get("fieldPath", "none") for item in items}
                return {path: field_value(pod, field).encode() for path, field in fields.items()}
            case {"serviceAccountToken": reference}:
                return {reference["path"]: await self._token(pod, reference)}
            case _:
                raise ConfigError(f"a process node does not support the source {', '.join(part)}")

    async def _keys(self, pod: Pod, kind: str, reference: Json) -> dict[str, bytes]:
        optional = bool(reference.get("optional"))
        data = await read_data(self._client, pod, kind, reference["name"], optional=optional)
        if "items" not in reference:
            return data
        files = {}
        for item in reference["items"]:
            if item["key"] in data:
                files[item["path"]] = data[item["key"]]
            elif not optional:
                raise ConfigError(f"{kind} {reference['name']!r} has no key {item['key']!r}")
        return files

    async def _token(self, pod: Pod, reference: Json) -> bytes:
        """Request a token that is bound to the pod."""
        owner = {"apiVersion": "v1", "kind": "Pod", "name": pod.metadata.name, "uid": pod.metadata.uid}
        seconds = reference.get("expirationSeconds", _TOKEN_SECONDS)
        spec: Json = {"expirationSeconds": seconds, "boundObjectRef": owner}
        if audience := reference.get("audience"):
            spec["audiences"] = [audience]
        path = f"/api/v1/namespaces/{pod.metadata.namespace}/serviceaccounts/{pod.spec.service_account_name}/token"
        response = await self._client.create(path, {"spec": spec})
        return str(response["status"]["token"]).encode()


def _write(file: Path, content: bytes) -> None:
    """Replace a file in one step, so that a reader never sees a part of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.partial")
    partial.write_bytes(content)
    partial.replace(file)
