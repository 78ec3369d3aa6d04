"""Operations on objects in the namespace of the jobs, all with kubectl."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cluster.kubectl import kubectl, read
from cluster.model import Cluster, ClusterError
from demo.install import JOBS_NAMESPACE
from trainyard_api import meta

Json = dict[str, Any]

_POLL_SECONDS = 0.25


@dataclass(frozen=True)
class Objects:
    """The objects in the namespace of the jobs. Every method raises :class:`ClusterError` with kubectl's message."""

    cluster: Cluster

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as administrator."""
        return kubectl(self.cluster, f"--namespace={JOBS_NAMESPACE}", *arguments, stdin=stdin)

    def apply(self, source: Path | Json) -> None:
        """Apply a file or an object."""
        if isinstance(source, Path):
            self.kubectl("apply", "-f", str(source))
        else:
            self.kubectl("apply", "-f", "-", stdin=json.dumps(source))

    def get(self, kind: str, name: str) -> Json:
        """Return an object, or an empty dictionary if it does not exist."""
        return read(self.cluster, kind, name, namespace=JOBS_NAMESPACE)

    def list(self, kind: str, selector: str = "") -> list[Json]:
        """Return the objects of a kind, or those with a label."""
        found: list[Json] = read(self.cluster, kind, namespace=JOBS_NAMESPACE, selector=selector)["items"]
        return found

    def act(self, deployment: str, verb: str) -> float:
        """Request ``verb`` of a ModelDeployment with a new token. Return its time (``time.monotonic``)."""
        token = datetime.now(UTC).strftime("%Y-%m-%dT%H.%M.%S.%f")
        asked = time.monotonic()
        self.kubectl("annotate", "md", deployment, f"{meta.ACTION_ANNOTATION}={verb}/{token}", "--overwrite")
        return asked

    def wait(self, kind: str, name: str, what: str, holds: Callable[[Json], bool], seconds: float) -> Json:
        """Read an object repeatedly until ``holds`` returns true, and return it."""
        end = time.monotonic() + seconds
        while not (found := self.get(kind, name)) or not holds(found):
            if time.monotonic() > end:
                state = json.dumps(found.get("status", {}), indent=1) if found else "it does not exist"
                raise ClusterError(f"waited {seconds:.0f} s for {kind} {name} {what}, without success: {state}")
            time.sleep(_POLL_SECONDS)
        return found
