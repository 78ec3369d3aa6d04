"""One TrainingJob on the in-memory cluster, and its operator, step by step."""

from typing import Any

from tests.unit.operator.cluster import Cluster
from tests.unit.operator.operators import StepOperator
from tests.unit.operator.samples import SPEC
from trainyard_operator.kube.port import JOBS


class World:
    """One TrainingJob ``a`` and its operator."""

    def __init__(self, **spec: Any) -> None:
        self.cluster = Cluster()
        self.operator = StepOperator(self.cluster)
        self.cluster.submit("a", {**SPEC, **spec})

    def settle(self) -> dict[str, Any]:
        self.operator.settle()
        return self.cluster.status("a")

    def later(self, seconds: float = 400) -> dict[str, Any]:
        self.cluster.tick(seconds)
        return self.settle()

    def end(self, attempt: int, exit_code: int, message: str = "", reason: str = "") -> dict[str, Any]:
        self.cluster.finish_pod(f"a-{attempt}", exit_code, message, reason)
        return self.settle()

    @property
    def jobs(self) -> list[str]:
        return sorted(self.cluster.of(JOBS))


def reason_of(status: dict[str, Any]) -> str:
    return str(next(c["reason"] for c in status["conditions"] if c["type"] == "Ready"))
