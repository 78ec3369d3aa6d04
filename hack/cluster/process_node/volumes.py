"""Volumes of one pod on disk: fetches what they show, writes it, and keeps it fresh while the pod lives."""

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from cluster.process_node.client import ApiClient, ApiError
from cluster.process_node.environment import Source, Sources
from cluster.process_node.layout import PodFolder
from cluster.process_node.payloads import (
    TokenSpec,
    VolumeError,
    build_payload,
    sources_of_volumes,
    token_specs,
    write_payload,
)
from cluster.process_node.podspec import Json, Pod

SERVICE_ACCOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"

_RENEW_AFTER = 0.8
"""Share of a token's life after which it is renewed, as a kubelet does."""


class _Token(NamedTuple):
    text: str
    renew_at: float


class PodVolumes:
    """The volumes of one pod. `prepare` again to refresh them: files change only where their content has."""

    def __init__(
        self,
        client: ApiClient,
        folder: PodFolder,
        allocatable: Mapping[str, str],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._client = client
        self._clock = clock
        self._folder = folder
        self._allocatable = allocatable
        self._tokens: dict[TokenSpec, _Token] = {}

    async def prepare(self, pod: Pod) -> dict[str, Path]:
        """Bring all volumes up to date; returns the folder of each by its name.

        Raises
        ------
        VolumeError
            One of them cannot be shown now; the message says which and why.
        """
        try:
            sources = await fetch_sources(self._client, pod.namespace, sources_of_volumes(pod))
            tokens = {wanted: await self._token(pod, wanted) for wanted in token_specs(pod)}
            return {volume["name"]: await self._show(pod, volume, sources, tokens) for volume in pod.volumes}
        except ApiError as error:
            raise VolumeError(str(error)) from error

    async def _show(self, pod: Pod, volume: Json, sources: Sources, tokens: Mapping[TokenSpec, str]) -> Path:
        payload = build_payload(pod, volume, sources, tokens, self._allocatable)
        folder = self._folder.volume(volume["name"])
        match volume:
            case {"hostPath": reference}:
                return _host_path(volume["name"], reference)
            case {"persistentVolumeClaim": reference}:
                return await self._claim(pod, reference["claimName"])
            case _:
                write_payload(folder, payload) if payload is not None else folder.mkdir(parents=True, exist_ok=True)
                return folder

    async def _token(self, pod: Pod, wanted: TokenSpec) -> str:
        held = self._tokens.get(wanted)
        if held is None or self._clock() >= held.renew_at:
            owner = {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid}
            spec: Json = {"expirationSeconds": wanted.seconds, "boundObjectRef": owner}
            if wanted.audience:
                spec["audiences"] = [wanted.audience]
            request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
            path = f"/api/v1/namespaces/{pod.namespace}/serviceaccounts/{pod.service_account}/token"
            response = await self._client.create(path, request)
            held = _Token(response["status"]["token"], self._clock() + _RENEW_AFTER * wanted.seconds)
            self._tokens[wanted] = held
        return held.text

    async def _claim(self, pod: Pod, name: str) -> Path:
        claim = await self._client.get(f"/api/v1/namespaces/{pod.namespace}/persistentvolumeclaims/{name}")
        volume_name = claim["spec"].get("volumeName")
        if not volume_name or claim.get("status", {}).get("phase") != "Bound":
            raise VolumeError(f"claim {name!r} is not bound to a volume yet")
        volume = await self._client.get(f"/api/v1/persistentvolumes/{volume_name}")
        if "hostPath" not in volume["spec"]:
            raise VolumeError(
                f"claim {name!r}: volume {volume_name!r} is no hostPath volume; a process node offers no other"
            )
        return _host_path(name, volume["spec"]["hostPath"])


def _host_path(name: str, reference: Json) -> Path:
    path = Path(reference["path"])
    if reference.get("type") == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        raise VolumeError(f"volume {name!r}: path {path} does not exist on this machine")
    return path


async def fetch_sources(client: ApiClient, namespace: str, wanted: set[Source]) -> Sources:
    """Fetch ConfigMaps and Secrets; one that does not exist is None.

    Raises
    ------
    ApiError
        The API server refuses: right after binding it may not know yet that this node may read them.
    """
    ordered = sorted(wanted)
    contents = await asyncio.gather(*(_fetch(client, namespace, source) for source in ordered))
    return dict(zip(ordered, contents, strict=True))


async def _fetch(client: ApiClient, namespace: str, source: Source) -> Mapping[str, bytes] | None:
    kind = "configmaps" if source.kind == "ConfigMap" else "secrets"
    found = await client.find(f"/api/v1/namespaces/{namespace}/{kind}/{source.name}")
    if found is None:
        return None
    if source.kind == "Secret":
        return {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}
    binary = {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}
    return binary | {key: value.encode() for key, value in (found.get("data") or {}).items()}


def write_kubeconfig(file: Path, server: str, service_account: Path, namespace: str) -> None:
    """Write a kubeconfig of the pod's token: the fixed path where client libraries look for it cannot exist here."""
    cluster = {"server": server, "certificate-authority": str(service_account / "ca.crt")}
    token = service_account / "token"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "pod", "cluster": cluster}],
        "users": [{"name": "pod", "user": {"token": token.read_text(), "tokenFile": str(token)}}],
        "contexts": [{"name": "pod", "context": {"cluster": "pod", "user": "pod", "namespace": namespace}}],
        "current-context": "pod",
    }
    fresh = file.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(content))
    fresh.replace(file)
