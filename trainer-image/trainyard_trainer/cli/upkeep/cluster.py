"""Lists of objects from the API server, read with the pod's service account token. There are no other requests."""

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlencode

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from trainyard_api import GROUP, VERSION
from trainyard_api.kinds import KindDefinition
from trainyard_trainer.cli.upkeep.usage import slim
from trainyard_trainer.errors import ConfigError, InputMissing, NotPermitted, TrainerError, UpstreamUnavailable

HOST_ENV: Final = "KUBERNETES_SERVICE_HOST"
PORT_ENV: Final = "KUBERNETES_SERVICE_PORT"
"""Kubernetes sets both variables in every container."""
ACCOUNT_DIR_ENV: Final = "TRAINYARD_SERVICE_ACCOUNT_DIR"
ACCOUNT_DIR: Final = "/var/run/secrets/kubernetes.io/serviceaccount"

_TIMEOUT_SECONDS: Final = 60.0
_ATTEMPTS: Final = 4
_OR_A_FILE: Final = "or give a file with --in-use"


@dataclass(frozen=True)
class Cluster:
    """The address of the API server, and the folder of the service account. The kubelet renews the token there."""

    host: str
    port: int
    account: Path
    page: int = 250
    """Number of objects per request."""

    @classmethod
    def of_pod(cls, environ: Mapping[str, str]) -> Self:
        """Return the cluster of this pod. Raises ConfigError outside of a cluster."""
        host, port = environ.get(HOST_ENV, ""), environ.get(PORT_ENV, "443")
        account = Path(environ.get(ACCOUNT_DIR_ENV) or ACCOUNT_DIR)
        if not host or not port.isdecimal() or not (account / "token").is_file():
            raise ConfigError(
                "the objects in use are unknown: this is not a pod with the token of a service account in "
                f"{account}; run the command in such a pod (see examples/storage), {_OR_A_FILE}"
            )
        return cls(host, int(port), account)

    @property
    def namespace(self) -> str:
        """The namespace of this pod. Raises ConfigError."""
        try:
            return (self.account / "namespace").read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError(f"{self.account}/namespace cannot be read ({error.strerror}): add --namespace") from error

    def objects(self, kind: KindDefinition, namespace: str) -> Iterator[dict[str, Any]]:
        """Yield all objects of a kind in one namespace, each with its ``kind`` and the fields that show what it uses.

        Raises
        ------
        NotPermitted
            If the service account is not allowed to list them.
        InputMissing
            If the cluster does not have the kind.
        UpstreamUnavailable
            If the API server does not respond, or does not return a list.
        """
        retrying = Retrying(
            retry=retry_if_exception_type((OSError, http.client.HTTPException, UpstreamUnavailable)),
            wait=wait_random_exponential(multiplier=0.2, max=5),
            stop=stop_after_attempt(_ATTEMPTS),
            reraise=True,
        )
        try:
            found = retrying(self._every_page, kind, namespace)
        except (OSError, http.client.HTTPException) as error:
            raise UpstreamUnavailable(
                f"the objects in use are unknown: the API server {self.host}:{self.port} does not respond: {error}"
            ) from error
        for item in found:
            yield {**item, "kind": kind.kind}

    def _every_page(self, kind: KindDefinition, namespace: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        token = ""
        while True:
            page = self._page(kind, namespace, token)
            items += map(slim, page["items"])
            token = (page.get("metadata") or {}).get("continue") or ""
            if not token:
                return items

    def _page(self, kind: KindDefinition, namespace: str, token: str) -> dict[str, Any]:
        query = urlencode({"limit": self.page, **({"continue": token} if token else {})})
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{kind.plural}"
        status, body = self._get(f"{path}?{query}")
        if status != 200:
            raise self._refusal(status, kind, namespace)
        try:
            page = json.loads(body)
        except ValueError as error:
            raise UpstreamUnavailable(f"the objects in use are unknown: {path} is not JSON: {error}") from error
        if not isinstance(page, dict) or not isinstance(page.get("items"), list):
            raise UpstreamUnavailable(f"the objects in use are unknown: {path} is not a list of objects")
        return page

    def _refusal(self, status: int, kind: KindDefinition, namespace: str) -> TrainerError:
        what = (
            f"the objects in use are unknown: the API server returned {status} for a list of {kind.plural} "
            f"in {namespace}"
        )
        match status:
            case 401 | 403:
                return NotPermitted(
                    f"{what}; allow the service account of the pod to list modelversions, trainingjobs and "
                    f"modeldeployments there, {_OR_A_FILE}"
                )
            case 404:
                return InputMissing(
                    f"{what}: the cluster does not have this kind; install the custom resource definitions of the chart"
                )
            case _:
                return UpstreamUnavailable(f"{what}; try again later")

    def _get(self, path: str) -> tuple[int, bytes]:
        context = ssl.create_default_context(cafile=str(self.account / "ca.crt"))
        connection = http.client.HTTPSConnection(self.host, self.port, timeout=_TIMEOUT_SECONDS, context=context)
        try:
            token = (self.account / "token").read_text(encoding="utf-8").strip()
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}", "Accept": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()
