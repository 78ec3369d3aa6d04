"""`kubectl port-forward` to a Service, on a free port of this machine, as a user runs it."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from cluster.kind_backend import forward_command
from cluster.kubectl import program
from tests.e2e.stage import Stage

_ANY_PORT = 0
_END_SECONDS = 10


@contextmanager
def port_forward(stage: Stage, namespace: str, service: str, port: int) -> Iterator[str]:
    """Yield the address of the Service. Pytest shows kubectl's output at the end."""
    command = forward_command(program(), stage.cluster.kubeconfig, f"{namespace}/{service}", _ANY_PORT, port)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forward:
        assert forward.stdout is not None
        said = forward.stdout.readline()
        try:
            found = re.match(r"Forwarding from (127\.0\.0\.1:\d+) ->", said)
            assert found, f"kubectl port-forward said {said!r}"
            yield f"http://{found[1]}"
        finally:
            forward.terminate()
            forward.wait(_END_SECONDS)
