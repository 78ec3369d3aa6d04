"""Which objects are kept no longer: never one in use, and of the others as many as the policy says."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.operator.core.test_saved import deployment, schedule
from tests.unit.operator.core.versions import NOW, START, judged, version
from tests.unit.operator.samples import SPEC, job_view
from trainyard_api import meta
from trainyard_operator.core import champion, retention
from trainyard_operator.core.champion import ModelObjects, digest_of
from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.core.naming import version_number
from trainyard_operator.core.objects import ModelDeploymentView, ModelVersionView
from trainyard_operator.core.retention import Policy

STAMP = "2026-11-21T09:00:00Z"
LATER = NOW + timedelta(days=1)
TWO_AND_ONE = Policy(2, 1)


def gone(
    versions: list[ModelVersionView], *deployments: ModelDeploymentView, policy: Policy = TWO_AND_ONE
) -> list[int]:
    found = retention.versions(ModelObjects(tuple(versions), deployments), policy, LATER)
    return [version_number(each.view) for each in found if isinstance(each.view, ModelVersionView)]


def good(*numbers: int) -> list[ModelVersionView]:
    return [judged(number) for number in numbers]


def serving(**status: Any) -> ModelDeploymentView:
    return deployment({"observedGeneration": 1, **status})


def test_the_newest_of_each_kind_stay() -> None:
    bad = [judged(4, "Rejected"), judged(5, "Quarantined"), judged(6, "Rejected")]
    assert gone([*good(9, 1, 3, 2, 8), *bad]) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("field", ["activeVersion", "previousVersion", "candidateVersion"])
@pytest.mark.parametrize("deleting", [False, True])
def test_what_is_used_stays(field: str, deleting: bool) -> None:
    user = replace(serving(**{field: 1}), deleting=deleting)
    assert gone(good(1, 2, 3, 4), user) == [2]


@pytest.mark.parametrize("pin", ["1", f"sha256:{1:064x}"])
def test_what_is_pinned_stays(pin: str) -> None:
    user = deployment({}, spec={"modelName": "m", "version": {"policy": "Pinned", "pin": pin}})
    assert gone(good(1, 2, 3, 4), user) == [2]


def test_what_the_deployment_lists_stays() -> None:
    user = deployment({}, spec={"modelName": "m", "retention": {"keep": [1, 99]}})
    assert gone(good(1, 2, 3, 4), user) == [2]


@pytest.mark.parametrize(("value", "stays"), [("true", True), ("2027-audit", True), ("false", False), ("", False)])
def test_what_has_the_label_stays(value: str, stays: bool) -> None:
    kept = judged(1, labels={meta.KEEP_LABEL: value})
    assert (1 not in gone([kept, *good(2, 3, 4)])) is stays


def test_the_champion_stays_although_it_is_old() -> None:
    policy = Policy(2, 1, timedelta(hours=2))
    assert gone(good(1, 2, 3), policy=policy) == [1, 2]
    assert gone(good(1, 2, 3), serving(activeVersion=1), policy=policy) == [2, 3]


def test_a_policy_may_keep_all() -> None:
    many = [*good(*range(1, 40)), *(judged(number, "Rejected") for number in range(40, 60))]
    assert gone(many, policy=Policy(None, None)) == []
    assert gone(many, policy=Policy(None, 0)) == list(range(40, 60))


@pytest.mark.parametrize(
    "left",
    [
        version(1),
        judged(1, deleting=True),
        judged(1, created=LATER - timedelta(minutes=59)),
        judged(1, unreadable="status.phase: ?"),
        judged(1, recalled_from="uid-before"),
        judged(1, name="somebody-elses"),
    ],
    ids=["waits", "deleting", "young", "unreadable", "being restored", "misnamed"],
)
def test_what_is_left_alone(left: ModelVersionView) -> None:
    assert 1 not in gone([left, *good(2, 3, 4)])


def test_while_it_is_not_known_what_serves_nothing_goes() -> None:
    assert gone(good(1, 2, 3, 4), replace(serving(), unreadable="status.phase: ?")) == []


def test_the_sentence_says_why() -> None:
    (found, *_) = retention.versions(ModelObjects(tuple(good(1, 2, 3)), ()), Policy(2, 1), LATER)
    assert found.why == "not in use, and not among the newest 2 validated versions of model m"


PHASES = ("Pending", "Validated", "Rejected", "Quarantined")
numbers = st.integers(1, 12)
limits = st.none() | st.integers(0, 4)


@settings(deadline=None)
@given(
    phases=st.dictionaries(numbers, st.sampled_from(PHASES), max_size=12),
    used=st.lists(st.tuples(st.none() | numbers, st.none() | numbers, st.none() | numbers), max_size=2),
    keep=st.sets(numbers, max_size=2),
    validated=st.none() | st.integers(1, 4),
    rejected=limits,
    days=st.none() | st.integers(1, 3),
)
def test_whatever_there_is(
    phases: dict[int, str],
    used: list[tuple[int | None, int | None, int | None]],
    keep: set[int],
    validated: int | None,
    rejected: int | None,
    days: int | None,
) -> None:
    views = [
        version(n, {"observedGeneration": 1, "phase": phase}, labels={meta.KEEP_LABEL: "yes"} if n in keep else {})
        for n, phase in phases.items()
    ]
    fields = ("activeVersion", "previousVersion", "candidateVersion")
    users = tuple(
        replace(serving(**{f: n for f, n in zip(fields, each, strict=True) if n}), name=f"d{i}")
        for i, each in enumerate(used)
    )
    policy = Policy(validated, rejected, None if days is None else timedelta(days=days))
    found = set(gone(views, *users, policy=policy))
    best = champion.choose(ModelObjects(tuple(views), users))
    assert not found & {n for each in used for n in each if n}
    assert best is None or best.version not in found
    assert not found & keep
    assert not any(phases[n] == "Pending" for n in found)
    if policy.keeps_all(len(views)):
        assert not found
    for kinds, limit in ((("Validated",), validated), (("Rejected", "Quarantined"), rejected)):
        left = [n for n in phases if phases[n] in kinds and n not in found]
        if limit is not None:
            newest = set(sorted((n for n in phases if phases[n] in kinds), reverse=True)[:limit])
            protected = {n for each in used for n in each if n} | keep | ({best.version} if best is not None else set())
            assert set(left) <= newest | protected
            assert days is not None or newest <= set(left)
    again = [view for view in views if version_number(view) not in found]
    assert gone(again, *users, policy=policy) == []


def test_what_holds_comes_from_three_layers() -> None:
    config = OperatorConfig.model_validate(
        {"retention": {"validated": 7, "rejected": 2}, "namespaceDefaults": {"a": {"retention": {"rejected": 0}}}}
    )
    assert retention.policy_of(config, "b") == Policy(7, 2)
    assert retention.policy_of(config, "a") == Policy(7, None)
    assert retention.policy_of(config, "b", (deployment({}, spec={"retention": {"validated": 0}}),)) == Policy(None, 2)
    own = deployment({}, spec={"modelName": "m", "retention": {"validated": 3, "maxAgeDays": 9}})
    other = deployment({}, name="younger", spec={"modelName": "m", "retention": {"validated": 99}})
    assert retention.policy_of(config, "a", (other, own)) == Policy(3, None, timedelta(days=9))
    assert retention.policy_of(OperatorConfig(), "a") == Policy(10, 5)


# ---- TrainingJobs ----------------------------------------------------------------------------------------------------

OVER = {"observedGeneration": 1, "phase": "Succeeded", "completionTime": STAMP}


def expires(status: dict[str, Any] | None = None, seconds: int | None = 3600, **more: Any) -> bool:
    spec = {**SPEC, **({} if seconds is None else {"deleteSecondsAfterFinished": seconds})}
    view = job_view(spec=spec, status={**OVER, **(status or {})}, **more.pop("view", {}))
    now = NOW + timedelta(seconds=more.pop("after", 3600))
    return retention.job(view, more.pop("schedule", None), now) is not None


def test_a_job_goes_when_it_asked_for_it() -> None:
    assert expires()
    assert expires({"phase": "Failed"})
    assert expires({"verdict": {"phase": "Rejected", "reason": "GatesNotMet"}})
    assert not expires(after=3599)


def test_a_job_stays() -> None:
    assert not expires(seconds=None)
    assert not expires({"phase": "Running"})
    assert not expires({"verdict": {"phase": "Pending", "reason": "Pending"}})
    assert not expires(view={"deleting": True})
    assert not expires(view={"labels": {meta.KEEP_LABEL: "true"}})


@pytest.mark.parametrize("field", ["active", "awaitingVerdict"])
def test_a_run_that_its_schedule_has_not_counted_stays(field: str) -> None:
    waits = schedule({"observedGeneration": 1, field: [{"name": "diabetes", "uid": "uid-tj"}]})
    assert not expires(schedule=waits)
    assert expires(schedule=schedule({"observedGeneration": 1}))


def test_the_samples_are_what_they_seem() -> None:
    assert digest_of(judged(1)) == f"{1:064x}"
    assert START < NOW < LATER
