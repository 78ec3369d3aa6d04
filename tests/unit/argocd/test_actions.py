"""Actions write only an annotation with a token, so Git and self-heal do not revert them."""

import copy
import re
from typing import Any

import pytest

from tests.unit.argocd.lua import RESOURCE_VERSION, SCRIPTS, Json, Lua, LuaError, resource
from tests.unit.argocd.test_health import DEPLOYMENT, JOB, SCHEDULE, VERSION, hold, refused
from trainyard_api.kinds import KINDS, MODEL_DEPLOYMENT, MODEL_VERSION, TRAINING_JOB, TRAINING_SCHEDULE
from trainyard_api.meta import ACTION_ANNOTATION, ACTION_REASON_ANNOTATION, RUN_NOW_ANNOTATION
from trainyard_operator.core.serving.verbs import parse
from trainyard_operator.core.version.overrule import token_of

TOKEN = rf"[0-9]{{8}}T[0-9]{{6}}Z-{RESOURCE_VERSION}"
OWNER = [{"apiVersion": "trainyard.dev/v1alpha1", "kind": "TrainingSchedule", "name": "nightly", "uid": "1"}]


def discover(lua: Lua, thing: Json) -> dict[str, Json]:
    found: dict[str, Json] = lua.run(SCRIPTS / thing["kind"] / "actions/discovery.lua", thing)
    return found


def enabled(lua: Lua, thing: Json) -> set[str]:
    return {name for name, action in discover(lua, thing).items() if not action.get("disabled", False)}


def act(lua: Lua, thing: Json, action: str, params: dict[str, str] | None = None) -> Json:
    after: Json = lua.run(SCRIPTS / thing["kind"] / f"actions/{action}.lua", thing, params)
    return after


def as_lua_sees(value: Any) -> Any:
    """Return a value with empty maps as lists. Argo CD restores the maps before it compares."""
    match value:
        case {}:
            return {key: as_lua_sees(each) for key, each in value.items()} or []
        case list():
            return [as_lua_sees(each) for each in value]
        case _:
            return value


def deployment(status: Json | None = None, **metadata: Any) -> Json:
    spec = {**DEPLOYMENT, "rollout": {}, "serving": {"podLabels": {}, "env": [{"name": "A", "value": "1"}]}}
    return resource(MODEL_DEPLOYMENT, spec, status or {"phase": "Serving", "activeVersion": 6}, **metadata)


def version(status: Json | None = None, **metadata: Any) -> Json:
    missed = {"metric": "mae", "passed": False, "reason": "NotMet"}
    return resource(MODEL_VERSION, VERSION, status or {"phase": "Rejected", "gates": [missed]}, **metadata)


def verb(before: Json, after: Json, annotation: str = ACTION_ANNOTATION) -> str:
    """Return the action that was written. Checks that nothing else changed, and that the operator can parse it."""
    left = copy.deepcopy(after)
    text: str = left["metadata"]["annotations"].pop(annotation)
    if annotation == ACTION_ANNOTATION:
        parse(text)
    expected = copy.deepcopy(before)
    expected["metadata"].setdefault("annotations", {}).pop(annotation, None)
    assert as_lua_sees(left) == as_lua_sees(expected)
    return text


@pytest.mark.parametrize("kind", [kind.kind for kind in KINDS if (SCRIPTS / kind.kind / "actions").is_dir()])
def test_every_offered_action_has_a_script(lua: Lua, kind: str) -> None:
    actions = {path.stem for path in (SCRIPTS / kind / "actions").glob("*.lua")}
    things = {
        "TrainingJob": resource(TRAINING_JOB, JOB),
        "TrainingSchedule": resource(TRAINING_SCHEDULE, SCHEDULE),
        "ModelVersion": version(),
        "ModelDeployment": deployment(),
    }
    assert actions == {"discovery", *discover(lua, things[kind])}


@pytest.mark.parametrize("annotations", [None, {}, {"note": "mine"}, {ACTION_ANNOTATION: "hold/old", "note": "mine"}])
@pytest.mark.parametrize("action", ["promote", "abort", "hold", "release"])
def test_actions_without_parameters(lua: Lua, action: str, annotations: dict[str, str] | None) -> None:
    before = deployment() if annotations is None else deployment(annotations=annotations)
    assert re.fullmatch(rf"{action}/{TOKEN}", verb(before, act(lua, before, action)))


@pytest.mark.parametrize(
    ("params", "target"),
    [
        (None, "previous"),
        ({}, "previous"),
        ({"version": ""}, "previous"),
        ({"version": "previous"}, "previous"),
        ({"version": "5"}, "5"),
        ({"version": "999999999999999"}, "999999999999999"),
    ],
)
def test_rollback_targets_a_version_or_the_previous_one(lua: Lua, params: dict[str, str] | None, target: str) -> None:
    before = deployment()
    assert re.fullmatch(rf"rollback/{target}/{TOKEN}", verb(before, act(lua, before, "rollback", params)))


@pytest.mark.parametrize(("params", "target"), [(None, "9"), ({"version": ""}, "9"), ({"version": "7"}, "7")])
def test_retry_targets_a_version_or_the_highest_rejected_one(
    lua: Lua, params: dict[str, str] | None, target: str
) -> None:
    before = deployment({"activeVersion": 6, "rejectedVersions": [refused(7), refused(9), refused(8)]})
    assert re.fullmatch(rf"retry/{target}/{TOKEN}", verb(before, act(lua, before, "retry", params)))


@pytest.mark.parametrize("action", ["rollback", "retry"])
@pytest.mark.parametrize("version", ["0", "-1", "1.5", "v7", "7/x", "next", "1000000000000000", "nan", "inf"])
def test_an_invalid_version_is_refused(lua: Lua, action: str, version: str) -> None:
    with pytest.raises(LuaError, match=f"^version must be a whole number such as .*, not {version}$"):
        act(lua, deployment(), action, {"version": version})


def test_retry_without_a_rejected_version_is_refused(lua: Lua) -> None:
    with pytest.raises(LuaError, match="no rejected version"):
        act(lua, deployment(), "retry")


def test_run_now_writes_a_token(lua: Lua) -> None:
    before = resource(TRAINING_SCHEDULE, SCHEDULE, annotations={"note": "mine"})
    assert re.fullmatch(TOKEN, verb(before, act(lua, before, "run-now"), RUN_NOW_ANNOTATION))


@pytest.mark.parametrize("action", ["rollback", "promote", "abort", "hold", "release"])
def test_two_clicks_in_one_second_give_two_tokens(lua: Lua, action: str) -> None:
    first = act(lua, deployment(), action)
    first["metadata"]["resourceVersion"] = "4712"  # as the API server returns it after the first click
    annotation = first["metadata"]["annotations"][ACTION_ANNOTATION]
    assert act(lua, first, action)["metadata"]["annotations"][ACTION_ANNOTATION] != annotation


@pytest.mark.parametrize("annotations", [None, {"note": "mine"}, {ACTION_REASON_ANNOTATION: "an older one"}])
def test_a_version_is_validated_with_a_reason(lua: Lua, annotations: dict[str, str] | None) -> None:
    before = version() if annotations is None else version(annotations=annotations)
    after = act(lua, before, "validate", {"reason": "the new shop has no past"})
    text = after["metadata"]["annotations"].pop(ACTION_ANNOTATION)
    assert re.fullmatch(rf"validate/{TOKEN}", text)
    assert token_of(text)
    before["metadata"].setdefault("annotations", {})
    assert after["metadata"]["annotations"].pop(ACTION_REASON_ANNOTATION) == "the new shop has no past"
    before["metadata"]["annotations"].pop(ACTION_REASON_ANNOTATION, None)
    assert as_lua_sees(after) == as_lua_sees(before)


@pytest.mark.parametrize("params", [None, {}, {"reason": ""}])
def test_no_version_is_validated_without_a_reason(lua: Lua, params: dict[str, str] | None) -> None:
    with pytest.raises(LuaError, match=r"^set the parameter reason"):
        act(lua, version(), "validate", params)


@pytest.mark.parametrize(
    ("status", "offered"),
    [
        ({"phase": "Rejected", "gates": [{"metric": "mae", "passed": False, "reason": "NotMet"}]}, True),
        ({"phase": "Rejected"}, False),
        ({"phase": "Validated", "gates": [{"metric": "mae", "passed": False, "reason": "NotMet"}]}, False),
        ({"phase": "Pending"}, False),
        ({"phase": "Quarantined"}, False),
    ],
)
def test_only_versions_refused_by_gates_can_be_validated(lua: Lua, status: Json, *, offered: bool) -> None:
    assert (enabled(lua, version(status)) == {"validate"}) is offered


PIN = {"version": {"policy": "Pinned", "pin": "6"}}
BY_HAND = {"rollout": {"autoPromote": False}}
ROLLING = {"activeVersion": 6, "candidateVersion": 7}


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        ({}, {}, {"hold"}),
        ({}, {"activeVersion": 6}, {"hold", "rollback"}),
        ({}, {"activeVersion": 6, "rejectedVersions": [refused(7)]}, {"hold", "rollback", "retry"}),
        ({}, {"activeVersion": 6, "hold": hold("ManualRollback")}, {"hold", "release", "rollback"}),
        ({}, {"activeVersion": 6, "hold": hold("Held")}, {"release", "rollback"}),
        ({}, ROLLING, {"hold", "rollback", "abort"}),
        (BY_HAND, {**ROLLING, "candidateReason": "Policy"}, {"hold", "rollback", "abort", "promote"}),
        (BY_HAND, {**ROLLING, "candidateReason": "Promoted"}, {"hold", "rollback", "abort"}),
        (BY_HAND, {**ROLLING, "candidateReason": "Rollback"}, {"hold", "rollback", "abort"}),
        (BY_HAND, {"activeVersion": 6}, {"hold", "rollback"}),
        (PIN, {"activeVersion": 6}, set()),
    ],
)
def test_deployments_offer_applicable_actions(lua: Lua, spec: Json, status: Json, expected: set[str]) -> None:
    assert enabled(lua, resource(MODEL_DEPLOYMENT, {**DEPLOYMENT, **spec}, status)) == expected


def test_parameters_are_offered_with_their_default(lua: Lua) -> None:
    actions = discover(lua, deployment({"activeVersion": 6, "rejectedVersions": [refused(7), refused(8)]}))
    assert actions["rollback"]["params"] == [{"name": "version", "default": "previous"}]
    assert actions["retry"]["params"] == [{"name": "version", "default": "8"}]


@pytest.mark.parametrize(
    ("phase", "owners", "cancel", "offered"),
    [
        ("Running", OWNER, False, True),
        ("Queued", OWNER, False, True),
        ("Running", OWNER, True, False),
        ("Succeeded", OWNER, False, False),
        ("Failed", OWNER, False, False),
        ("Cancelled", OWNER, True, False),
        ("Running", [], False, False),
    ],
)
def test_only_jobs_of_a_schedule_can_be_cancelled_by_an_action(
    lua: Lua, phase: str, owners: list[Json], *, cancel: bool, offered: bool
) -> None:
    """A job in Git is cancelled in Git, because an action must not change its spec."""
    before = resource(TRAINING_JOB, {**JOB, "cancel": cancel}, {"phase": phase}, ownerReferences=owners)
    assert (enabled(lua, before) == {"cancel"}) is offered
    after = act(lua, before, "cancel")
    assert after == as_lua_sees({**before, "spec": {**before["spec"], "cancel": True}})
