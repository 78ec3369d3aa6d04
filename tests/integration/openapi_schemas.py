"""JSON schemas for kubeconform from a running API server, so that the check of manifests needs no network."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Json = dict[str, Any]

LOCATION = "{{.Group}}-{{.ResourceAPIVersion}}-{{.ResourceKind}}.json"
"""The file name of kubeconform's template. For the core group it uses the version."""


def write_schemas(get: Callable[[str], Json], kinds: set[tuple[str, str]], folder: Path) -> None:
    """Write a strict schema for each ``(apiVersion, kind)`` that the server publishes under ``/openapi/v3``.

    ``get`` reads a path of the API server and returns its JSON.
    """
    published = get("/openapi/v3")["paths"]
    for api_version in {api_version for api_version, _ in kinds}:
        path = f"apis/{api_version}" if "/" in api_version else f"api/{api_version}"
        schemas = get(published[path]["serverRelativeURL"])["components"]["schemas"]
        closed = {name: _strict(schema) for name, schema in schemas.items()}
        for name, schema in schemas.items():
            for gvk in schema.get("x-kubernetes-group-version-kind", ()):
                if (api_version, gvk["kind"]) in kinds:
                    file = f"{gvk['group'] or gvk['version']}-{gvk['version']}-{gvk['kind'].lower()}.json"
                    content = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": closed}}
                    (folder / file).write_text(json.dumps(content))


def _strict(schema: Json) -> Json:
    """Allow no other properties in each object that lists its properties."""
    closed = dict(schema)
    for key in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(key), dict):
            closed[key] = _strict(schema[key])
    for key in ("allOf", "anyOf", "oneOf"):
        if key in schema:
            closed[key] = [_strict(each) for each in schema[key]]
    if "properties" in schema:
        closed["properties"] = {name: _strict(each) for name, each in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            closed.setdefault("additionalProperties", False)
    return closed
