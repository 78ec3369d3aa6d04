"""Which version is the champion, and how it reaches the trainer."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.operator.core.plans import RETRYING, created
from tests.unit.operator.core.versions import START, deployment, judged, spec, version
from tests.unit.operator.samples import SPEC, job_view, observed
from trainyard_api import meta
from trainyard_api.wire import TrainerConfig
from trainyard_operator.core.admission.decision import Waiting
from trainyard_operator.core.champion import Chosen, ModelObjects, choose
from trainyard_operator.core.facts import Fact, Need
from trainyard_operator.core.objects import ModelDeploymentView, ModelVersionView
from trainyard_operator.core.training.planner import plan

FIRST, SECOND, THIRD = judged(1), judged(2), judged(3)


def digest(number: int) -> str:
    return f"{number:064x}"


def model_objects(*each: ModelVersionView | ModelDeploymentView) -> ModelObjects:
    return ModelObjects(
        tuple(one for one in each if isinstance(one, ModelVersionView)),
        tuple(one for one in each if isinstance(one, ModelDeploymentView)),
    )


def handed(around: ModelObjects | None, **more: Any) -> TrainerConfig:
    """Return the configuration that an attempt gets."""
    answer = plan(observed(more.pop("job", None), model_objects=around, **more))
    return TrainerConfig.parse(created(answer)["spec"]["template"]["metadata"]["annotations"][meta.CONFIG_ANNOTATION])


# ---- the rule ------------------------------------------------------------------------------------------------------


def test_what_serves_comes_before_what_is_newer() -> None:
    assert choose(model_objects(FIRST, SECOND, deployment(activeVersion=1))) == Chosen(1, digest(1), FIRST)


def test_of_several_deployments_the_oldest_decides() -> None:
    later = replace(deployment("a", activeVersion=2), created=START + timedelta(seconds=1))
    assert choose(model_objects(FIRST, SECOND, later, deployment("b", activeVersion=1))) == Chosen(1, digest(1), FIRST)


def test_without_a_server_the_newest_validated_version() -> None:
    around = model_objects(FIRST, SECOND, judged(3, "Rejected"), judged(4, "Quarantined"), version(5))
    assert choose(around) == Chosen(2, digest(2), SECOND)
    assert choose(around, judged=2) == Chosen(1, digest(1), FIRST), "only those before it, and never itself"
    assert choose(around, judged=1) is None


def test_there_may_be_none() -> None:
    gone = replace(FIRST, deleting=True)
    assert choose(model_objects(gone, judged(2, name="mine"), deployment())) is None


def test_a_version_that_serves_without_its_object_has_a_digest_at_most() -> None:
    assert choose(model_objects(deployment(activeVersion=7))) == Chosen(7, "", None)
    assert choose(model_objects(deployment(activeVersion=7, activeDigest="sha256:" + digest(7)))) == Chosen(
        7, digest(7), None
    )


def test_a_number_that_was_given_anew_is_not_what_serves() -> None:
    assert choose(model_objects(FIRST, deployment(activeVersion=1, activeDigest=digest(9)))) == Chosen(
        1, digest(9), None
    )


# ---- the handover --------------------------------------------------------------------------------------------------


def test_the_champion_is_asked_for_only_by_a_job_that_starts() -> None:
    assert plan(observed(model_objects=None)).needs == (Need(Fact.MODEL_OBJECTS, "diabetes"),)
    waits = plan(observed(model_objects=None, admission=Waiting(1, "ConcurrencyLimit", "waits")))
    assert not waits.needs
    assert waits.status is not None


def test_the_trainer_is_told_version_address_and_digest() -> None:
    champion = handed(model_objects(FIRST, SECOND)).champion
    assert champion is not None
    assert json.loads(champion.to_json()) == {"version": 2, "artifact": spec(2)["artifact"]}


def test_a_later_attempt_reads_it_anew() -> None:
    around = model_objects(FIRST, SECOND, deployment(activeVersion=1))
    champion = handed(around, job=job_view(RETRYING), after=60).champion
    assert champion is not None
    assert champion.version == 1


@pytest.mark.parametrize(
    "around",
    [
        model_objects(),
        model_objects(deployment(activeVersion=7)),
        model_objects(FIRST, deployment(activeVersion=1, activeDigest=digest(9))),
        model_objects(judged(1, fields={"model": "m", "version": 1})),
        model_objects(FIRST, replace(deployment(activeVersion=1), unreadable="status.phase")),
    ],
    ids=["none", "no object", "another model", "no artifact", "unreadable"],
)
def test_what_cannot_be_read_is_not_handed_over(around: ModelObjects) -> None:
    assert handed(around).champion is None


def test_who_makes_no_version_compares_nothing() -> None:
    assert handed(None, job=job_view(spec={**SPEC, "mode": "Prepare"})).champion is None


@pytest.mark.parametrize("framework", ["Container", "Script"])
def test_own_code_is_handed_the_champion_for_the_data_that_it_was_trained_on(framework: str) -> None:
    own = {"command": ["fit"], "image": "mine:1"} if framework == "Container" else {"script": {"inline": "pass"}}
    job = job_view(spec={**SPEC, "framework": framework, **own})
    assert handed(ModelObjects((judged(1),)), job=job).champion is not None
