"""Plain HTTP to the API server of a cluster, for tests that send more requests than kubectl processes could."""

import base64
from pathlib import Path
from typing import Any

import requests
import yaml
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

_RETRY = Retry(total=None, connect=0, read=4, redirect=0, status=0, other=0, allowed_methods=["GET"])
"""Repeat a GET that a busy API server does not answer. Never repeat a request that changes something."""


class ApiServer:
    """One connection with the administrator's certificate of a kubeconfig. Close it after use."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self._url = cluster["server"]
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.mount("https://", HTTPAdapter(max_retries=_RETRY))
        self._session.verify = _file(cluster, "certificate-authority", folder)
        self._session.cert = (_file(user, "client-certificate", folder), _file(user, "client-key", folder))

    def request(self, method: str, path: str, body: Any = None, **query: str) -> tuple[int, dict[str, Any]]:
        """Return the status code, and the object (or Status) of the response."""
        response = self._session.request(method, self._url + path, params=query, json=body, timeout=30)
        return response.status_code, response.json()

    def close(self) -> None:
        self._session.close()


def _file(entry: dict[str, str], name: str, folder: Path) -> str:
    """Return the path of a file that a kubeconfig names or contains."""
    if name in entry:
        return entry[name]
    path = folder / name
    path.write_bytes(base64.b64decode(entry[f"{name}-data"]))
    return str(path)
