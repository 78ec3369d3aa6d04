"""``make test-matrix``: the tests that meet an API server, once for each supported Kubernetes."""

import os
import subprocess
import sys
import time

from cluster.model import ClusterError
from cluster.releases import RELEASES, Release, release

TESTS = ("test_release.py", "test_crds.py", "test_progress_endpoint.py", "operator")
RELEASE_VARIABLE = "TRAINYARD_TEST_KUBERNETES"


def main(minors: list[str]) -> int:
    """Run the tests for these releases, or for all; one that fails leaves the others their turn."""
    try:
        chosen = [release(minor) for minor in minors] or list(RELEASES)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    outcomes = {each.minor: _run(each) for each in chosen}
    for each in chosen:
        print(f"Kubernetes {each.minor}  {outcomes[each.minor]}  ({each.seen})")
    return 0 if all(text.startswith("passed") for text in outcomes.values()) else 1


def _run(chosen: Release) -> str:
    print(f"Kubernetes {chosen.minor}: {chosen.seen}", flush=True)
    started = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", *(f"tests/integration/{name}" for name in TESTS)]
    arguments = os.environ.get("PYTEST_ARGS", "").split()
    done = subprocess.run([*command, *arguments], env={**os.environ, RELEASE_VARIABLE: chosen.minor}, check=False)
    verdict = "passed" if done.returncode == 0 else f"failed (status {done.returncode})"
    return f"{verdict} in {time.monotonic() - started:.0f} s"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
