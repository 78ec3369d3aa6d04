"""Runs the scripts for Argo CD in its own interpreter (gopher-lua), on objects that our models accept."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster import toolchain
from trainyard_api import API_VERSION
from trainyard_api.generate import checkout
from trainyard_api.kinds import KindDefinition

SCRIPTS = checkout() / "charts/trainyard/files/argocd"
SANDBOX = Path(__file__).parent / "sandbox.lua"
RESOURCE_VERSION = "4711"

Json = dict[str, Any]


class LuaError(Exception):
    """The script called ``error``. Argo CD shows the text to the user."""


@dataclass(frozen=True)
class Lua:
    """The interpreter, and a folder for its input."""

    program: Path
    folder: Path

    def run(self, script: Path, thing: Json, params: dict[str, str] | None = None) -> Any:
        """Return the result of a script, which must end within the second that Argo CD allows."""
        objects = self.folder / "objects.lua"
        objects.write_text(f"return {literal(thing)}, {literal(params)}", encoding="utf-8")
        command = [str(self.program), str(SANDBOX), str(script), str(objects)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        output = json.loads(done.stdout)
        assert output["seconds"] < 1, script
        if not output["well"]:
            raise LuaError(output["result"])
        return output["result"]

    def text(self, source: str, thing: Json) -> Any:
        """Return the result of Lua source code."""
        script = self.folder / "script.lua"
        script.write_text(source, encoding="utf-8")
        return self.run(script, thing)


def start(folder: Path) -> Lua:
    """Return the interpreter, and build it first if needed."""
    return Lua(toolchain.ensure("glua"), folder)


def literal(value: Any) -> str:
    """Return a JSON value as Lua source."""
    match value:
        case None:
            return "nil"
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case str():
            return '"' + "".join(f"\\{byte:03d}" for byte in value.encode()) + '"'
        case list():
            return "{" + ", ".join(literal(each) for each in value) + "}"
        case dict():
            return "{" + ", ".join(f"[{literal(key)}] = {literal(each)}" for key, each in value.items()) + "}"
    raise TypeError(f"no JSON: {value!r}")


def resource(kind: KindDefinition, spec: Json, status: Json | None = None, **metadata: Any) -> Json:
    """Return an object as the API server returns it, with defaults. Raises if the models refuse it."""
    shown = {"observedGeneration": -1} if status is None else {"observedGeneration": 2, **status}
    return {
        "apiVersion": API_VERSION,
        "kind": kind.kind,
        "metadata": {"name": "bakery", "generation": 2, "resourceVersion": RESOURCE_VERSION, **metadata},
        "spec": kind.spec.model_validate(spec).wire(),
        "status": kind.status.model_validate(shown).wire(),
    }


def conditions(*types: str, reason: str = "Because", message: str = "so it is", ready: bool = False) -> list[Json]:
    """Return a Ready condition, followed by true conditions of these types."""
    common = {"reason": reason, "message": message, "lastTransitionTime": "2026-11-21T07:30:00Z"}
    first = {"type": "Ready", "status": "True" if ready else "False", **common}
    return [first, *({"type": kind, "status": "True", **common} for kind in types)]
