"""Whatever happens in whatever order: one version serves, never one that is unvalidated, quarantined or not ready.

A hypothesis state machine publishes versions good and bad, lets their pods load, hang or crash, asks for actions, edits
specs and children, and moves both planners, of versions and of deployments; the operator is killed between any two
writes, is refused, and hears of everything late. Objects come back from a backup. Time passes.
"""

import json
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.operator.api_server import NAMESPACE, no_fault
from tests.unit.operator.machines import FAULTS, machine_settings
from tests.unit.operator.operators import FaultyWrite, Killed
from tests.unit.operator.runtime import deployment_page
from tests.unit.operator.serving import BLAMELESS, MODEL, NAME, Health, ServingCluster, ServingOperator
from trainyard_api import meta
from trainyard_operator.core import actions
from trainyard_operator.core.config import Images, OperatorConfig, ServingDefaults
from trainyard_operator.kinds.base import Key
from trainyard_operator.kinds.children import DEPLOYMENT, SERVICE
from trainyard_operator.kinds.model_deployment import MODEL_DEPLOYMENT
from trainyard_operator.kinds.model_version import MODEL_VERSION
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
DOCUMENTED = deployment_page.transitions()
KEY = Key(NAMESPACE, NAME, "ModelDeployment")

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


class Serving(RuleBasedStateMachine):
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

    # ---- the usual course, so that the rarer states are reached ------------------------------------------------------

    @precondition(lambda self: self.published < MOST_VERSIONS)
    @rule(good=st.sampled_from((True, True, True, False)), health=st.sampled_from(HEALTHS))
    def release(self, good: bool, health: Health) -> None:
        """A version is published, and everybody does what is due."""
        self.publish(good, health)
        self.operator.go_on(6.0)

    @rule(verb=st.sampled_from(ACTIONS))
    def act_and_follow(self, verb: str) -> None:
        self.act(verb, used=False)
        self.operator.go_on(6.0)

    @rule(health=st.sampled_from(HEALTHS), seconds=st.sampled_from((6.0, 16.0, 61.0)))
    def active_turns(self, health: Health, seconds: float) -> None:
        """The pods that serve change their health, and time passes."""
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
    def turn_health(self, number: int, health: Health) -> None:
        self.cluster.health[number] = health

    @rule(rounds=st.integers(1, 8))
    def roll(self, rounds: int) -> None:
        self.cluster.roll(rounds)

    @rule(number=numbers, refused=st.booleans())
    def refuse_pods(self, number: int, refused: bool) -> None:
        """A quota is used up, or has room again."""
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
    def bad_turn(self, at: int, after: bool, error: BaseException) -> None:
        lost_answer = isinstance(error, (Killed, UnavailableError))
        fault = FaultyWrite(at, after=after and lost_answer, error=error)

        def hook(verb: str, resource: Resource, happened: bool) -> None:
            self.watch_switches(verb, resource, happened)
            fault(verb, resource, happened)

        self.cluster.hook = hook
        self.operator.reconcile_key(KEY)
        self.cluster.hook = self.watch_switches

    @rule(image=st.sampled_from(("server:1", "server:2")), limit=st.integers(0, 1))
    def upgrade(self, image: str, limit: int) -> None:
        """The operator of another release takes over: it renders each Deployment anew."""
        serving = ServingDefaults(max_concurrent_updates=limit)
        self.operator.config = OperatorConfig(images=Images(server=image), serving=serving)
        self.operator.restart()

    @rule()
    def restart(self) -> None:
        self.operator.restart()

    @rule(before=st.booleans())
    def restore(self, before: bool) -> None:
        """Everything comes back from a backup without its status; ``before``: the operator starts only then."""
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
        """A watch breaks: what happened meanwhile is heard of at the next list."""
        for kind in self.operator.read:
            self.operator.read[kind] = len(self.cluster.log)

    @rule()
    def resync(self) -> None:
        self.operator.resync()

    # ---- what always holds -------------------------------------------------------------------------------------------

    def watch_switches(self, verb: str, resource: Resource, after: bool) -> None:
        """Remember the selector before and after each write on the Service, and what the operator knew then."""
        if verb == "patch" and resource == MODEL_DEPLOYMENTS and after:
            self.phases.append(self.cluster.deployed().get("phase", "(none)"))
            self.watch_activation()
        if verb != "apply" or resource != SERVICES:
            return
        if not after:
            self.before = self.cluster.served()
            return
        now, store = self.cluster.served(), self.operator.store
        view = store.get(MODEL_DEPLOYMENT, *KEY[:2])
        if view is None or now is None or now == self.before:
            return
        ready = {
            child.version: child.ready
            for child in store.children(DEPLOYMENT, NAMESPACE, view.uid)
            if not child.deleting
        }
        pointed = {service.selector.get(meta.VERSION_LABEL) for service in store.children(SERVICE, NAMESPACE, view.uid)}
        answered = (
            ready.get(self.before or 0) and str(self.before) in pointed
        )  # somebody may have pointed it there since
        if not ready.get(now) and answered and self.before not in self.rejected:
            self.bad_switches.append(f"from {self.before} to {now}, which is not ready: {ready}")
        if now in {entry.version for entry in view.status.rejected_versions or ()}:
            self.bad_switches.append(f"to {now}, which is quarantined")
        version = store.get(MODEL_VERSION, NAMESPACE, f"{MODEL}-v{now}")
        lived = {e.version for e in view.status.history or () if e.outcome != "Rejected"}
        lifted = view.status.candidate_version == now and view.status.candidate_reason == "Retry"
        if now not in lived and not lifted and (version is None or version.status.phase != "Validated"):
            self.bad_switches.append(f"to {now}, which was never validated: {version and version.status.phase}")

    def watch_activation(self) -> None:
        """What is called active gets the requests already, as far as the operator knows."""
        active, before = self.cluster.deployed().get("activeVersion"), self.active
        self.active = active
        view = self.operator.store.get(MODEL_DEPLOYMENT, *KEY[:2])
        if active in (None, before) or view is None:
            return
        selected = [
            service.selector.get(meta.VERSION_LABEL)
            for service in self.operator.store.children(SERVICE, NAMESPACE, view.uid)
        ]
        if selected != [str(active)]:
            self.bad_switches.append(f"{active} is called active while {selected} gets the requests")

    @invariant()
    def switches_well(self) -> None:
        assert not self.bad_switches

    @invariant()
    def phases_change_as_documented(self) -> None:
        changes = {pair for pair in pairwise(self.phases) if pair[0] != pair[1]}
        assert changes <= DOCUMENTED, changes - DOCUMENTED
        self.phases = self.phases[-1:]

    @invariant()
    def quarantine_ends_by_retry_alone(self) -> None:
        status = self.cluster.deployed()
        rejected = {entry["version"] for entry in status.get("rejectedVersions") or ()}
        for number in self.rejected - rejected:
            assert status.get("lastHandledAction", "").startswith(f"retry/{number}/"), (number, status)
        self.lifted = (self.lifted | (self.rejected - rejected)) - rejected
        self.rejected = rejected
        left = {
            entry["version"] for entry in status.get("history") or () if entry["outcome"] in ("RolledBack", "Rejected")
        }
        assert left <= rejected | self.lifted, (left, status)
        assert status.get("activeVersion") not in rejected
        assert status.get("candidateVersion") not in rejected

    @invariant()
    def history_is_consistent(self) -> None:
        status = self.cluster.deployed()
        history = status.get("history") or []
        active = [entry["version"] for entry in history if entry["outcome"] == "Active"]
        assert active == ([status["activeVersion"]] if "activeVersion" in status else [])
        assert all(("to" in entry) == (entry["outcome"] != "Active") for entry in history)
        rejected = {entry["version"] for entry in status.get("rejectedVersions") or ()}
        assert status.get("previousVersion") not in {*active, *rejected}
        assert len(history) <= 10

    def teardown(self) -> None:
        if hasattr(self, "cluster"):
            self.converge()

    def converge(self) -> None:
        """From here on nothing new happens: everything must come to rest, and then be silent."""
        self.operator.restart()
        quiet = 0
        while quiet < 3:  # two deadlines long
            before = len(self.cluster.writes)
            self.operator.resync()
            self.cluster.crash()
            self.operator.go_on(41.0)
            quiet = quiet + 1 if len(self.cluster.writes) == before else 0
            assert len(self.cluster.writes) < MOST_WRITES, "it does not come to rest"
        self.switches_well()
        before = len(self.cluster.writes)
        self.operator.restart()
        self.operator.go_on(400.0)
        assert self.cluster.writes[before:] == []
        self.at_rest()

    def at_rest(self) -> None:
        status = self.cluster.deployed()
        spec = self.cluster.of(MODEL_DEPLOYMENTS)[NAME]["spec"]
        active, candidate = status.get("activeVersion"), status.get("candidateVersion")
        assert status["observedGeneration"] == self.cluster.of(MODEL_DEPLOYMENTS)[NAME]["metadata"]["generation"]
        served = self.cluster.served()
        if served != active:  # somebody pointed it to pods that answer: it stays there while those of the active do not
            assert active is not None
            assert not self.cluster.can_serve(active)
            assert self.cluster.health[served] == "loads"
            assert served not in self.rejected
            told = {each["type"]: each for each in status["conditions"]}
            assert told["Ready"]["status"] == "False"
            assert f"points to version {served}" in told["Ready"]["message"]
        self.children_at_rest()
        if candidate is not None:
            self.candidate_at_rest(status, candidate)
        children = {
            int(body["metadata"]["labels"][meta.VERSION_LABEL]) for body in self.cluster.of(DEPLOYMENTS).values()
        }
        extra = children - {active, candidate}
        if active is None or self.cluster.can_serve(active):
            assert not extra, (children, status)
        text = self.cluster.of(MODEL_DEPLOYMENTS)[NAME]["metadata"].get("annotations", {}).get(meta.ACTION_ANNOTATION)
        assert not text or status["lastHandledAction"] == actions.echo(text)
        if candidate is None and "hold" not in status and spec.get("version", {}).get("policy") != "Pinned":
            waiting = [
                number
                for number in range((active or 0) + 1, self.published + 1)
                if f"{MODEL}-v{number}" in self.cluster.of(MODEL_VERSIONS)
                and self.cluster.version_phase(number) == "Validated"
                and number not in self.rejected
            ]
            assert not waiting, (waiting, status)

    def children_at_rest(self) -> None:
        """What somebody edited is as it should be again, where it can be said how that is."""
        image = self.operator.config.images.server
        for name, body in self.cluster.of(DEPLOYMENTS).items():
            known = name.replace(NAME, MODEL, 1) in self.cluster.of(MODEL_VERSIONS)
            if known and name == f"{NAME}-v{self.cluster.deployed().get('activeVersion')}":
                assert body["spec"]["template"]["spec"]["containers"][0]["image"] == image
        if self.cluster.served() == self.cluster.deployed().get("activeVersion"):
            assert all(body["spec"]["type"] == "ClusterIP" for body in self.cluster.of(SERVICES).values())
        spec, active = self.cluster.of(MODEL_DEPLOYMENTS)[NAME]["spec"], self.cluster.deployed().get("activeVersion")
        several = spec.get("serving", {}).get("replicas", 1) > 1
        assert self.cluster.budgeted() == (active if several else None)
        assert all(body["spec"]["maxUnavailable"] == 1 for body in self.cluster.of(POD_DISRUPTION_BUDGETS).values())

    def candidate_at_rest(self, status: dict[str, Any], candidate: int) -> None:
        """It waits for a person, or for what is no doing of its own, and says so."""
        if status["phase"] == "AwaitingPromotion":
            assert self.cluster.can_serve(candidate)
            return
        assert candidate in self.cluster.refused or self.cluster.health[candidate] in BLAMELESS
        stalled = next(each for each in status["conditions"] if each["type"] == "Stalled")
        assert stalled["reason"] == "CandidateBlocked", stalled


TestServing = Serving.TestCase
TestServing.settings = machine_settings(100, steps=40)
