"""What holds after every step of the state machine of serving, and what holds when the operator has stopped writing."""

from itertools import pairwise
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine, invariant

from tests.unit.operator.api_server import NAMESPACE
from tests.unit.operator.runtime import deployment_page
from tests.unit.operator.serving import MODEL, NAME, NOT_REJECTED_FOR, ServingCluster, ServingOperator
from trainyard_api import meta
from trainyard_operator.core import actions
from trainyard_operator.kinds.base import Key
from trainyard_operator.kinds.children import DEPLOYMENT, SERVICE
from trainyard_operator.kinds.model_deployment import MODEL_DEPLOYMENT
from trainyard_operator.kinds.model_version import MODEL_VERSION
from trainyard_operator.kube.port import (
    DEPLOYMENTS,
    MODEL_DEPLOYMENTS,
    MODEL_VERSIONS,
    POD_DISRUPTION_BUDGETS,
    SERVICES,
    Resource,
)

DOCUMENTED = deployment_page.transitions()
KEY = Key(NAMESPACE, NAME, "ModelDeployment")


class ServingInvariants(RuleBasedStateMachine):
    """The invariants. A subclass adds the rules, and initializes these attributes."""

    cluster: ServingCluster
    operator: ServingOperator
    published: int
    """How many versions were published."""
    rejected: set[int]
    """The quarantined versions."""
    lifted: set[int]
    """The versions whose quarantine was lifted."""
    bad_switches: list[str]
    """A description of each wrong change of the Service."""
    phases: list[str]
    """The phases since the last check."""
    active: int | None
    before: int | None
    """The version that the Service selected before the current write."""

    def watch_switches(self, verb: str, resource: Resource, after: bool) -> None:
        """Record the selector before and after each write of the Service, and what the operator knew then."""
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
        previous_is_ready = (
            ready.get(self.before or 0) and str(self.before) in pointed
        )  # it may have been pointed there meanwhile
        if not ready.get(now) and previous_is_ready and self.before not in self.rejected:
            self.bad_switches.append(f"from {self.before} to {now}, which is not ready: {ready}")
        if now in {entry.version for entry in view.status.rejected_versions or ()}:
            self.bad_switches.append(f"to {now}, which is quarantined")
        version = store.get(MODEL_VERSION, NAMESPACE, f"{MODEL}-v{now}")
        served_before = {e.version for e in view.status.history or () if e.outcome != "Rejected"}
        lifted = view.status.candidate_version == now and view.status.candidate_reason == "Retry"
        if now not in served_before and not lifted and (version is None or version.status.phase != "Validated"):
            self.bad_switches.append(f"to {now}, which was never validated: {version and version.status.phase}")

    def watch_activation(self) -> None:
        """An active version gets the requests already, as far as the operator knows."""
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
    def no_bad_switches(self) -> None:
        assert not self.bad_switches

    @invariant()
    def phases_change_as_documented(self) -> None:
        changes = {pair for pair in pairwise(self.phases) if pair[0] != pair[1]}
        assert changes <= DOCUMENTED, changes - DOCUMENTED
        self.phases = self.phases[-1:]

    @invariant()
    def only_retry_ends_a_quarantine(self) -> None:
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

    # ---- after convergence -------------------------------------------------------------------------------------------

    def at_rest(self) -> None:
        status = self.cluster.deployed()
        spec = self.cluster.of(MODEL_DEPLOYMENTS)[NAME]["spec"]
        active, candidate = status.get("activeVersion"), status.get("candidateVersion")
        assert status["observedGeneration"] == self.cluster.of(MODEL_DEPLOYMENTS)[NAME]["metadata"]["generation"]
        served = self.cluster.served()
        if served != active:  # it was pointed to ready pods, and stays there while the active pods are not ready
            assert active is not None
            assert not self.cluster.can_serve(active)
            assert self.cluster.health[served] == "loads"
            assert served not in self.rejected
            conditions = {each["type"]: each for each in status["conditions"]}
            assert conditions["Ready"]["status"] == "False"
            assert f"points to version {served}" in conditions["Ready"]["message"]
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
            skipped = [
                number
                for number in range((active or 0) + 1, self.published + 1)
                if f"{MODEL}-v{number}" in self.cluster.of(MODEL_VERSIONS)
                and self.cluster.version_phase(number) == "Validated"
                and number not in self.rejected
            ]
            assert not skipped, (skipped, status)

    def children_at_rest(self) -> None:
        """Edited children are repaired if the operator can render them."""
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
        """A remaining candidate waits for a user or is blocked by an external cause, and reports that."""
        if status["phase"] == "AwaitingPromotion":
            assert self.cluster.can_serve(candidate)
            return
        assert candidate in self.cluster.refused or self.cluster.health[candidate] in NOT_REJECTED_FOR
        stalled = next(each for each in status["conditions"] if each["type"] == "Stalled")
        assert stalled["reason"] == "CandidateBlocked", stalled
