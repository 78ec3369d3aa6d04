"""Random histories of versions: each is judged once and in order, and the operator stops writing in the end.

A hypothesis state machine registers versions, lets deployments serve and reject them, deletes and restores them.
Its operator sees the other versions of a model late, and can die between its Events and its status.
"""

from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.unit.operator.core.versions import BELOW_2, CHAMPION, NOW, deployment, rejected, spec, version, with_action
from trainyard_api.meta import ACTION_ANNOTATION, SAVED_ANNOTATION
from trainyard_api.modeldeployment import ModelDeploymentStatus
from trainyard_api.modelversion import ModelVersionStatus
from trainyard_operator.core import saved
from trainyard_operator.core.objects import ModelDeploymentView, ModelVersionView
from trainyard_operator.core.plan import NOTHING
from trainyard_operator.core.version.planner import plan
from trainyard_operator.core.version.saved import SAVES
from trainyard_operator.core.version.state import VersionState

AFTER = {
    "Pending": {"Pending", "Validated", "Rejected"},
    "Validated": {"Validated", "Quarantined"},
    "Quarantined": {"Quarantined", "Validated"},
    "Rejected": {"Rejected", "Validated"},
}
GATES = (
    [],
    [BELOW_2],
    [CHAMPION],
    [BELOW_2, CHAMPION],
    [{**CHAMPION, "confidence": 0.9, "tolerance": 1}],
    [{"metric": "never", "op": ">", "value": 0}],
)
FOREIGN: tuple[dict[str, Any], ...] = (
    {},
    {"model": "m"},
    spec(1),
    {**spec(2), "gates": "all"},
    spec(2, "9", [BELOW_2]),
)

IMPORTED = (2,)
"""Numbers of the versions without a TrainingJob."""

numbers = st.integers(1, 3)


def compared(champion: int, value: str, with_result: bool) -> dict[str, Any]:
    """Return the comparison that a trainer with this champion reports."""
    metric = {"name": "mae", "value": "1.5", "champion": value, "difference": "0", "low": "-1", "high": "1"}
    reason = "Compared" if with_result else "ChampionIncompatible"
    return {"champion": champion, "championDigest": f"{champion:064x}", "reason": reason, "metrics": [metric]}


deployments = st.sampled_from(("a", "b"))


class Versions(RuleBasedStateMachine):
    """One model, two deployments, one operator."""

    @initialize()
    def begin(self) -> None:
        self.versions: dict[str, ModelVersionView] = {}
        self.deployments: dict[str, ModelDeploymentView] = {name: deployment(name) for name in ("a", "b")}
        self.seen = (self.versions, self.deployments)
        self.next = 1
        self.clock = 0
        self.events: set[tuple[str, str, str]] = set()
        self.verdicts: dict[str, ModelVersionStatus] = {}
        self.catch_up()

    # ---- users, trainers and deployments ---------------------------------------------------------------------------

    @rule(
        mae=st.sampled_from((None, "0", "1.5", "1.5", "2.5", "-1")),
        gates=st.sampled_from(GATES),
        rows=st.booleans(),
        comparison=st.one_of(st.none(), st.builds(compared, numbers, st.sampled_from(("0", "2")), st.booleans())),
    )
    def register(
        self, mae: str | None, gates: list[dict[str, Any]], rows: bool, comparison: dict[str, Any] | None = None
    ) -> None:
        fields = spec(self.next, mae, gates, holdoutDigest="a" * 64 if rows else None, comparison=comparison)
        self.put(version(self.next, fields=fields))
        self.next += 1

    @rule(name=st.sampled_from(("mine", "m-v2", "m-v1")), fields=st.sampled_from(FOREIGN))
    def write_a_foreign_version(self, name: str, fields: dict[str, Any]) -> None:
        if name not in self.versions:
            self.clock += 1
            self.put(version(1, fields=fields, name=name, uid=f"uid-{name}-{self.clock}"))

    @rule(number=numbers, finalizer=st.booleans())
    def delete(self, number: int, finalizer: bool) -> None:
        """Delete at once, or keep the object until its finalizer is removed."""
        view = self.versions.pop(f"m-v{number}", None)
        if finalizer and view is not None:
            self.put(replace(view, deleting=True))

    @rule(
        number=numbers, text=st.sampled_from(("validate/1", "validate/2", "hold/3")), why=st.sampled_from((None, "x"))
    )
    def ask(self, number: int, text: str, why: str | None) -> None:
        view = self.versions.get(f"m-v{number}")
        if view is not None:
            self.versions[view.name] = with_action(view, text, why)

    @rule(name=deployments, number=numbers, field=st.sampled_from(("active", "candidate", "previous")))
    def serve(self, name: str, number: int, field: str) -> None:
        """Also take versions that do not exist or are not Validated, as a bug of another planner could."""
        self.set(name, **{f"{field}_version": number})

    @rule(name=deployments, number=numbers)
    def roll_back(self, name: str, number: int) -> None:
        status = self.deployments[name].status
        self.clock += 1
        entry = {**rejected(number), "time": f"2026-11-21T08:{self.clock % 60:02d}:00Z"}
        left = {field: None for field in ("active_version", "candidate_version") if getattr(status, field) == number}
        known = [each.wire() for each in status.rejected_versions or () if each.version != number]
        self.set(name, **left, rejected_versions=[*known, entry])

    @rule(name=deployments, number=numbers)
    def serve_and_roll_back(self, name: str, number: int) -> None:
        """Register, serve and roll back a version, so that later phases are reached."""
        self.register("1.5", [], True)
        self.keep_up()
        self.serve(name, number, "active")
        self.roll_back(name, number)
        self.keep_up()

    @rule(name=deployments, number=numbers)
    def retry(self, name: str, number: int) -> None:
        known = self.deployments[name].status.rejected_versions or ()
        left = [each.wire() for each in known if each.version != number]
        self.set(name, candidate_version=number, rejected_versions=left)
        self.keep_up()

    @rule(number=numbers)
    def restore(self, number: int) -> None:
        """Restore a version from a backup: another object without a status."""
        view = self.versions.get(f"m-v{number}")
        if view is None or view.deleting:
            return
        text = saved.text_of(SAVES, view, view.status)
        annotations = {**view.annotations, **({} if text is None else {SAVED_ANNOTATION: text})}
        empty = ModelVersionStatus(observed_generation=-1, phase="Pending")
        uid = f"{view.uid}-restored"
        self.events |= {(uid, about, reason) for known, about, reason in self.events if known == view.uid}
        if view.uid in self.verdicts:
            self.verdicts[uid] = self.verdicts[view.uid]
        self.put(saved.recall(SAVES, replace(view, uid=uid, status=empty, annotations=annotations)))
        assert self.versions[view.name].status.phase == view.status.phase

    @rule(name=deployments)
    def forget(self, name: str) -> None:
        self.set(name, rejected_versions=None, candidate_version=None)

    # ---- the operator ----------------------------------------------------------------------------------------------

    @rule()
    def catch_up(self) -> None:
        """Deliver all watch events."""
        self.seen = (dict(self.versions), dict(self.deployments))

    @rule(number=numbers, dies=st.booleans())
    def reconcile(self, number: int, dies: bool) -> None:
        """Plan one step for the current version with a possibly stale view of the others."""
        name = f"m-v{number}"
        if name in self.versions:
            self.step(name, *self.seen, dies=dies)

    @rule()
    def keep_up(self) -> None:
        """Reconcile every version once, so that later phases are reached."""
        self.catch_up()
        for name in sorted(self.versions):
            self.step(name, *self.seen)

    def step(
        self,
        name: str,
        versions: dict[str, ModelVersionView],
        deployments: dict[str, ModelDeploymentView],
        *,
        dies: bool = False,
    ) -> bool:
        view = self.versions[name]
        others = tuple(other for other in versions.values() if other.name != name)
        here = view.spec.get("version") not in IMPORTED
        made = plan(VersionState(view, others, tuple(deployments.values()), NOW, trained_here=here))
        assert not made.actions
        assert not made.needs
        assert made.requeue_after is None
        if made.status is None:
            assert made == NOTHING
            return False
        assert isinstance(made.status, ModelVersionStatus)
        assert made.status != view.status
        ModelVersionStatus.model_validate(made.status.wire())
        self.judged_in_order(view, made.status, others)
        self.events.update((view.uid, event.about, event.reason) for event in made.events)
        if not dies:
            self.put(replace(view, status=made.status, recalled_from=""))
        return True

    def judged_in_order(
        self, view: ModelVersionView, status: ModelVersionStatus, others: tuple[ModelVersionView, ...]
    ) -> None:
        if view.status.phase != "Pending" or status.phase != "Validated":
            return
        pending = [
            other.version
            for other in others
            if other.status.phase == "Pending"
            and not other.deleting
            and other.name == f"m-v{other.spec.get('version')}"
        ]
        assert all(number > view.version for number in pending), "a lower version was not judged yet"
        assert all(result.passed for result in status.gates or ())
        assert {result.metric for result in status.gates or ()} == {
            gate["metric"] for gate in view.spec.get("gates") or ()
        }
        comparison = view.spec.get("comparison")
        for result in status.gates or ():
            if result.champion is not None and comparison is not None:
                assert result.champion == comparison["champion"], "judged by a comparison with another version"

    # ---- invariants ------------------------------------------------------------------------------------------------

    def put(self, view: ModelVersionView) -> None:
        before = self.versions.get(view.name)
        if before is not None and before.uid == view.uid:
            assert view.status.phase in AFTER[before.status.phase or "Pending"]
        self.versions[view.name] = view

    def set(self, name: str, **changes: Any) -> None:
        view = self.deployments[name]
        status = ModelDeploymentStatus.model_validate({**view.status.model_dump(), **changes})
        self.deployments[name] = replace(view, status=status)

    @invariant()
    def a_verdict_never_changes(self) -> None:
        for view in self.versions.values():
            status = view.status
            if status.phase == "Pending":
                assert status.gates is None
                continue
            first = self.verdicts.setdefault(view.uid, status)
            assert (status.gates, status.judged_time) == (first.gates, first.judged_time)
            assert (status.quarantined_by is not None) == (status.phase == "Quarantined")
            refused = any(not result.passed for result in status.gates or ())
            assert not refused or (status.overruled is None) == (status.phase == "Rejected")
            assert status.overruled is None or refused

    @invariant()
    def every_verdict_has_an_event(self) -> None:
        for uid, status in self.verdicts.items():
            reason = "Rejected" if status.phase == "Rejected" else "Validated"
            assert (uid, "judged", reason) in self.events
        for view in self.versions.values():
            assert view.status.overruled is None or any(
                uid == view.uid and reason == "Overruled" for uid, _, reason in self.events
            )

    def teardown(self) -> None:
        if hasattr(self, "versions"):
            self.converge()

    def converge(self) -> None:
        """Reconcile until nothing is written: at most one round for each pending version."""
        for _ in range(len(self.versions) + 2):
            moved = [self.step(name, dict(self.versions), dict(self.deployments)) for name in sorted(self.versions)]
            self.a_verdict_never_changes()
            if not any(moved):
                break
        else:
            raise AssertionError("it never came to rest")
        for view in self.versions.values():
            if view.deleting:
                continue
            assert view.status.phase != "Pending"
            assert view.annotations.get(ACTION_ANNOTATION) == view.status.last_handled_action
            number = view.spec.get("version")
            takes = [s for s in self.statuses() if number in (s.active_version, s.candidate_version)]
            lists = [s for s in self.statuses() if number in [each.version for each in s.rejected_versions or ()]]
            if view.status.phase == "Quarantined":
                assert not takes
            if view.status.phase == "Validated":
                assert takes or not lists

    def statuses(self) -> list[ModelDeploymentStatus]:
        return [view.status for view in self.deployments.values()]


TestVersions = Versions.TestCase
TestVersions.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
