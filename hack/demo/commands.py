"""kubectl and helm, with one plain sentence where they fail."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]


class DemoError(Exception):
    """The demo cannot go on; the text is for the person who watches it."""


@dataclass(frozen=True)
class Commands:
    """The two programs, bound to one cluster."""

    kubectl_path: Path
    helm_path: Path
    kubeconfig: Path

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl and return what it printed. Raises :class:`DemoError`."""
        return _run([str(self.kubectl_path), "--kubeconfig", str(self.kubeconfig), *arguments], stdin)

    def helm(self, *arguments: str, stdin: str | None = None) -> str:
        """Run helm and return what it printed. Raises :class:`DemoError`."""
        return _run([str(self.helm_path), "--kubeconfig", str(self.kubeconfig), *arguments], stdin)

    def apply(self, *objects: Json) -> None:
        """Apply objects given as dicts. Raises :class:`DemoError`."""
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def items(self, *arguments: str) -> list[Json]:
        """Return the objects of a ``kubectl get``. Raises :class:`DemoError`."""
        found: list[Json] = json.loads(self.kubectl("get", *arguments, "-o", "json"))["items"]
        return found


def _run(command: Sequence[str], stdin: str | None) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        words = [Path(command[0]).name, *command[3:]]
        said = (done.stderr or done.stdout).strip() or f"exit status {done.returncode}, and it said nothing"
        raise DemoError(f"`{' '.join(words)}` failed: {said}")
    return done.stdout
