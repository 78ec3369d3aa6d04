"""Which objects retention deletes: never one in use, and of the others all beyond the numbers of the policy."""

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


def deleted_numbers(
    versions: list[ModelVersionView], *deployments: ModelDeploymentView, policy: Policy = TWO_AND_ONE
) -> list[int]:
    found = retention.versions(ModelObjects(tuple(versions), deployments), policy, LATER)
    return [version_number(each.view) for each in found if isinstance(each.view, ModelVersionView)]


def good(*numbers: int) -> list[ModelVersionView]:
    return [judged(number) for number in numbers]


def serving(**status: Any) -> ModelDeploymentView:
    return deployment({"observedGeneration": 1, **status})


def test_the_newest_of_each_kind_are_kept() -> None:
    bad = [judged(4, "Rejected"), judged(5, "Quarantined"), judged(6, "Rejected")]
    assert deleted_numbers([*good(9, 1, 3, 2, 8), *bad]) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("field", ["activeVersion", "previousVersion", "candidateVersion"])
@pytest.mark.parametrize("deleting", [False, True])
def test_versions_in_use_are_kept(field: str, deleting: bool) -> None:
    user = replace(serving(**{field: 1}), deleting=deleting)
    assert deleted_numbers(good(1, 2, 3, 4), user) == [2]


@pytest.mark.parametrize("pin", ["1", f"sha256:{1:064x}"])
def test_pinned_versions_are_kept(pin: str) -> None:
    user = deployment({}, spec={"modelName": "m", "version": {"policy": "Pinned", "pin": pin}})
    assert deleted_numbers(good(1, 2, 3, 4), user) == [2]


def test_versions_that_the_deployment_lists_are_kept() -> None:
    user = deployment({}, spec={"modelName": "m", "retention": {"keep": [1, 99]}})
    assert deleted_numbers(good(1, 2, 3, 4), user) == [2]


@pytest.mark.parametrize(("value", "stays"), [("true", True), ("2027-audit", True), ("false", False), ("", False)])
def test_versions_with_the_keep_label_are_kept(value: str, stays: bool) -> None:
    kept = judged(1, labels={meta.KEEP_LABEL: value})
    assert (1 not in deleted_numbers([kept, *good(2, 3, 4)])) is stays


def test_an_old_champion_is_kept() -> None:
    policy = Policy(2, 1, timedelta(hours=2))
    assert deleted_numbers(good(1, 2, 3), policy=policy) == [1, 2]
    assert deleted_numbers(good(1, 2, 3), serving(activeVersion=1), policy=policy) == [2, 3]


def test_a_policy_without_limits_keeps_all() -> None:
    many = [*good(*range(1, 40)), *(judged(number, "Rejected") for number in range(40, 60))]
    assert deleted_numbers(many, policy=Policy(None, None)) == []
    assert deleted_numbers(many, policy=Policy(None, 0)) == list(range(40, 60))


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
def test_which_versions_are_never_deleted(left: ModelVersionView) -> None:
    assert 1 not in deleted_numbers([left, *good(2, 3, 4)])


def test_an_unreadable_deployment_blocks_all_deletions() -> None:
    assert deleted_numbers(good(1, 2, 3, 4), replace(serving(), unreadable="status.phase: ?")) == []


def test_the_message_gives_the_reason() -> None:
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
def test_any_set_of_versions_obeys_the_policy(
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
    found = set(deleted_numbers(views, *users, policy=policy))
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
    assert deleted_numbers(again, *users, policy=policy) == []


def test_the_policy_is_merged_from_chart_namespace_and_deployment() -> None:
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


def test_a_finished_job_is_deleted_after_its_time() -> None:
    assert expires()
    assert expires({"phase": "Failed"})
    assert expires({"verdict": {"phase": "Rejected", "reason": "GatesNotMet"}})
    assert not expires(after=3599)


def test_which_jobs_are_kept() -> None:
    assert not expires(seconds=None)
    assert not expires({"phase": "Running"})
    assert not expires({"verdict": {"phase": "Pending", "reason": "Pending"}})
    assert not expires(view={"deleting": True})
    assert not expires(view={"labels": {meta.KEEP_LABEL: "true"}})


@pytest.mark.parametrize("field", ["active", "awaitingVerdict"])
def test_a_run_that_its_schedule_has_not_counted_is_kept(field: str) -> None:
    with_run = schedule({"observedGeneration": 1, field: [{"name": "diabetes", "uid": "uid-tj"}]})
    assert not expires(schedule=with_run)
    assert expires(schedule=schedule({"observedGeneration": 1}))


def test_the_samples_have_the_expected_digest_and_time() -> None:
    assert digest_of(judged(1)) == f"{1:064x}"
    assert START < NOW < LATER
