"""Random histories of serving: one version serves, never one that is unvalidated, quarantined or not ready.

A hypothesis state machine publishes good and bad versions, lets their pods load, hang or crash, requests actions, edits
specs and children, restores backups and advances the clock. It moves the planners of versions and deployments. The
operator is killed between any two writes, is refused, and gets all events late.
"""

import json
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from tests.unit.operator.api_server import NAMESPACE, no_fault
from tests.unit.operator.machines import FAULTS, machine_settings
from tests.unit.operator.operators import FaultyWrite, Killed
from tests.unit.operator.runtime.serving_invariants import KEY, ServingInvariants
from tests.unit.operator.serving import NAME, Health, ServingCluster, ServingOperator
from trainyard_api import meta
from trainyard_operator.core.config import Images, OperatorConfig, ServingDefaults
from trainyard_operator.kube.errors import UnavailableError
from trainyard_operator.kube.port import (
    DEPLOYMENTS,
    MODEL_DEPLOYMENTS,
    MODEL_VERSIONS,
    POD_DISRUPTION_BUDGETS,
    SERVICES,
    Resource,
)

MOST_VERSIONS = 7
MOST_WRITES = 2000

HEALTHS: tuple[Health, ...] = (
    *("loads", "loads", "hangs", "crashes", "corrupt"),
    *("upstream", "refused", "node lost", "no image", "no volume", "no command"),
)
ACTIONS = (
    "rollback/previous",
    "rollback/1",
    "rollback/2",
    "rollback/9",
    "promote",
    "abort",
    "hold",
    "release",
    "retry/1",
    "retry/2",
    "retry/3",
    "retry/9",
    "rolback/1",
    "rollback/v1",
    "promote/now/please",
    "",
)
numbers = st.integers(1, MOST_VERSIONS)


class ServingMachine(ServingInvariants):
    """One model, one ModelDeployment, one operator."""

    @initialize(serving=st.integers(0, 3))
    def begin(self, serving: int) -> None:
        self.cluster = ServingCluster()
        self.operator = ServingOperator(self.cluster)
        self.published = 0
        self.tokens = 0
        self.rejected: set[int] = set()
        self.lifted: set[int] = set()
        self.bad_switches: list[str] = []
        self.phases = ["(none)"]
        self.active: int | None = None
        self.cluster.hook = self.watch_switches
        self.cluster.deploy(rollout={"keepWarmSeconds": 30, "progressDeadlineSeconds": 60})
        for _ in range(serving):
            self.release(True, "loads")

    # ---- common sequences, so that rare states are reached -----------------------------------------------------------

    @precondition(lambda self: self.published < MOST_VERSIONS)
    @rule(good=st.sampled_from((True, True, True, False)), health=st.sampled_from(HEALTHS))
    def release(self, good: bool, health: Health) -> None:
        """Publish a version, and let the operator and the controllers reconcile."""
        self.publish(good, health)
        self.operator.go_on(6.0)

    @rule(verb=st.sampled_from(ACTIONS))
    def act_and_reconcile(self, verb: str) -> None:
        self.act(verb, used=False)
        self.operator.go_on(6.0)

    @rule(health=st.sampled_from(HEALTHS), seconds=st.sampled_from((6.0, 16.0, 61.0)))
    def change_health_of_active(self, health: Health, seconds: float) -> None:
        """Change the health of the active version, and let time pass."""
        active = self.cluster.deployed().get("activeVersion")
        if active is not None:
            self.cluster.health[active] = health
            self.cluster.crash()
            self.operator.go_on(seconds)

    # ---- training and users ------------------------------------------------------------------------------------------

    @precondition(lambda self: self.published < MOST_VERSIONS)
    @rule(good=st.sampled_from((True, True, True, False)), health=st.sampled_from(HEALTHS))
    def publish(self, good: bool, health: Health) -> None:
        self.published += 1
        self.cluster.health[self.published] = health
        self.cluster.publish(self.published, good=good)

    @rule(verb=st.sampled_from(ACTIONS), used=st.booleans())
    def act(self, verb: str, used: bool) -> None:
        self.tokens += 0 if used else 1
        self.cluster.act(f"{verb}/t{self.tokens}")

    @rule(pin=st.sampled_from(("", "", "1", "2", "3", "9", "sha256:" + f"{2:064x}")))
    def edit_policy(self, pin: str) -> None:
        policy = {"policy": "Pinned", "pin": pin} if pin else {"policy": "LatestValidated", "pin": ""}
        self.cluster.respec(version=policy)

    @rule(replicas=st.integers(1, 2), promote=st.booleans(), automatic=st.booleans(), warm=st.sampled_from((0, 30)))
    def edit(self, replicas: int, promote: bool, automatic: bool, warm: int) -> None:
        self.cluster.respec(
            serving={"replicas": replicas, "podLabels": {"team": str(warm)}},
            rollout={"keepWarmSeconds": warm, "progressDeadlineSeconds": 60, "autoPromote": promote},
            rollback={"automatic": automatic},
            history={"limit": 1 + replicas},
        )

    @rule(number=numbers, kind=st.sampled_from((DEPLOYMENTS, SERVICES, POD_DISRUPTION_BUDGETS, MODEL_VERSIONS)))
    def delete(self, number: int, kind: Resource) -> None:
        names = sorted(self.cluster.of(kind))
        if names and (kind != MODEL_VERSIONS or number <= 2):
            self.cluster.remove(kind, NAMESPACE, names[number % len(names)])

    @rule(number=numbers, kind=st.sampled_from((DEPLOYMENTS, SERVICES, POD_DISRUPTION_BUDGETS)))
    def edit_child(self, number: int, kind: Resource) -> None:
        names = sorted(self.cluster.of(kind))
        if names:
            self.cluster.edit_child(kind, names[number % len(names)])

    @rule(number=numbers)
    def point_elsewhere(self, number: int) -> None:
        service = self.cluster.of(SERVICES).get(NAME)
        if service is not None:
            selector = {**service["spec"]["selector"], meta.VERSION_LABEL: str(number)}
            self.cluster.change(SERVICES, NAMESPACE, NAME, spec={**service["spec"], "selector": selector})

    # ---- the rest of the cluster -------------------------------------------------------------------------------------

    @rule(number=numbers, health=st.sampled_from(HEALTHS))
    def change_health(self, number: int, health: Health) -> None:
        self.cluster.health[number] = health

    @rule(rounds=st.integers(1, 8))
    def roll(self, rounds: int) -> None:
        self.cluster.roll(rounds)

    @rule(number=numbers, refused=st.booleans())
    def refuse_pods(self, number: int, refused: bool) -> None:
        """Use up a quota, or free it again."""
        self.cluster.refused.pop(number, None)
        if refused:
            self.cluster.refused[number] = "exceeded quota"

    @rule()
    def crash(self) -> None:
        self.cluster.crash()

    @rule(seconds=st.sampled_from((1.0, 6.0, 20.0, 70.0)))
    def tick(self, seconds: float) -> None:
        self.cluster.tick(seconds)

    # ---- the operator ------------------------------------------------------------------------------------------------

    @rule(
        kind=st.sampled_from(("ModelVersion", "ModelDeployment", "Deployment", "Service", "PodDisruptionBudget")),
        count=st.integers(1, 6),
    )
    def deliver(self, kind: Any, count: int) -> None:
        self.operator.deliver(kind, count)

    @rule(seconds=st.sampled_from((0.0, 6.0, 20.0)))
    def keep_up(self, seconds: float) -> None:
        self.operator.go_on(seconds, rounds=4)

    @rule()
    def reconcile(self) -> None:
        self.operator.reconcile_key(KEY)

    @rule(at=st.integers(1, 4), after=st.booleans(), error=st.sampled_from(FAULTS))
    def reconcile_with_fault(self, at: int, after: bool, error: BaseException) -> None:
        lost_response = isinstance(error, (Killed, UnavailableError))
        fault = FaultyWrite(at, after=after and lost_response, error=error)

        def hook(verb: str, resource: Resource, happened: bool) -> None:
            self.watch_switches(verb, resource, happened)
            fault(verb, resource, happened)

        self.cluster.hook = hook
        self.operator.reconcile_key(KEY)
        self.cluster.hook = self.watch_switches

    @rule(image=st.sampled_from(("server:1", "server:2")), limit=st.integers(0, 1))
    def upgrade(self, image: str, limit: int) -> None:
        """Start an operator of another release, which renders each Deployment differently."""
        serving = ServingDefaults(max_concurrent_updates=limit)
        self.operator.config = OperatorConfig(images=Images(server=image), serving=serving)
        self.operator.restart()

    @rule()
    def restart(self) -> None:
        self.operator.restart()

    @rule(before=st.booleans())
    def restore(self, before: bool) -> None:
        """Restore everything from a backup without its status. ``before``: restart the operator after the restore."""
        self.cluster.hook = no_fault
        self.cluster.restore()
        self.phases = ["(none)"]
        saved = (self.cluster.of(MODEL_DEPLOYMENTS)[NAME]["metadata"].get("annotations") or {}).get(
            meta.SAVED_ANNOTATION
        )
        self.active = json.loads(saved)["status"].get("activeVersion") if saved is not None else None
        if before:
            self.operator.restart()
        self.operator.deliver_all()
        self.operator.reconcile_key(KEY)
        self.cluster.hook = self.watch_switches

    @rule()
    def lose_events(self) -> None:
        """A watch breaks: the next list shows the changes."""
        for kind in self.operator.read:
            self.operator.read[kind] = len(self.cluster.log)

    @rule()
    def resync(self) -> None:
        self.operator.resync()

    def teardown(self) -> None:
        if hasattr(self, "cluster"):
            self.converge()

    def converge(self) -> None:
        """Nothing new happens any more: the operator must stop writing."""
        self.operator.restart()
        quiet = 0
        while quiet < 3:  # two deadlines
            before = len(self.cluster.writes)
            self.operator.resync()
            self.cluster.crash()
            self.operator.go_on(41.0)
            quiet = quiet + 1 if len(self.cluster.writes) == before else 0
            assert len(self.cluster.writes) < MOST_WRITES, "the operator keeps writing"
        self.no_bad_switches()
        before = len(self.cluster.writes)
        self.operator.restart()
        self.operator.go_on(400.0)
        assert self.cluster.writes[before:] == []
        self.at_rest()


TestServingMachine = ServingMachine.TestCase
TestServingMachine.settings = machine_settings(100, steps=40)
