"""Which version is the champion, and how the trainer gets it."""

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


def trainer_config(champions: ModelObjects | None, **more: Any) -> TrainerConfig:
    """Return the configuration that the next attempt gets."""
    step = plan(observed(more.pop("job", None), model_objects=champions, **more))
    return TrainerConfig.parse(created(step)["spec"]["template"]["metadata"]["annotations"][meta.CONFIG_ANNOTATION])


# ---- the choice ----------------------------------------------------------------------------------------------------


def test_the_active_version_is_the_champion_even_if_a_newer_one_exists() -> None:
    assert choose(model_objects(FIRST, SECOND, deployment(activeVersion=1))) == Chosen(1, digest(1), FIRST)


def test_the_oldest_of_several_deployments_decides() -> None:
    later = replace(deployment("a", activeVersion=2), created=START + timedelta(seconds=1))
    assert choose(model_objects(FIRST, SECOND, later, deployment("b", activeVersion=1))) == Chosen(1, digest(1), FIRST)


def test_without_an_active_version_the_newest_validated_one_is_the_champion() -> None:
    champions = model_objects(FIRST, SECOND, judged(3, "Rejected"), judged(4, "Quarantined"), version(5))
    assert choose(champions) == Chosen(2, digest(2), SECOND)
    assert choose(champions, judged=2) == Chosen(1, digest(1), FIRST), "only versions before it, and never itself"
    assert choose(champions, judged=1) is None


def test_there_may_be_no_champion() -> None:
    gone = replace(FIRST, deleting=True)
    assert choose(model_objects(gone, judged(2, name="mine"), deployment())) is None


def test_an_active_version_without_its_object_has_only_a_digest() -> None:
    assert choose(model_objects(deployment(activeVersion=7))) == Chosen(7, "", None)
    assert choose(model_objects(deployment(activeVersion=7, activeDigest="sha256:" + digest(7)))) == Chosen(
        7, digest(7), None
    )


def test_a_reused_version_number_is_not_the_active_version() -> None:
    assert choose(model_objects(FIRST, deployment(activeVersion=1, activeDigest=digest(9)))) == Chosen(
        1, digest(9), None
    )


# ---- the configuration of the trainer -------------------------------------------------------------------------------


def test_only_a_job_that_starts_needs_the_champion() -> None:
    assert plan(observed(model_objects=None)).needs == (Need(Fact.MODEL_OBJECTS, "diabetes"),)
    step = plan(observed(model_objects=None, admission=Waiting(1, "ConcurrencyLimit", "waits")))
    assert not step.needs
    assert step.status is not None


def test_the_trainer_gets_version_uri_and_digest_of_the_champion() -> None:
    champion = trainer_config(model_objects(FIRST, SECOND)).champion
    assert champion is not None
    assert json.loads(champion.to_json()) == {"version": 2, "artifact": spec(2)["artifact"]}


def test_a_later_attempt_chooses_the_champion_again() -> None:
    champions = model_objects(FIRST, SECOND, deployment(activeVersion=1))
    champion = trainer_config(champions, job=job_view(RETRYING), after=60).champion
    assert champion is not None
    assert champion.version == 1


@pytest.mark.parametrize(
    "champions",
    [
        model_objects(),
        model_objects(deployment(activeVersion=7)),
        model_objects(FIRST, deployment(activeVersion=1, activeDigest=digest(9))),
        model_objects(judged(1, fields={"model": "m", "version": 1})),
        model_objects(FIRST, replace(deployment(activeVersion=1), unreadable="status.phase")),
    ],
    ids=["none", "no object", "another model", "no artifact", "unreadable"],
)
def test_a_champion_that_cannot_be_read_is_not_passed_to_the_trainer(champions: ModelObjects) -> None:
    assert trainer_config(champions).champion is None


def test_a_job_that_makes_no_version_gets_no_champion() -> None:
    assert trainer_config(None, job=job_view(spec={**SPEC, "mode": "Prepare"})).champion is None


@pytest.mark.parametrize("framework", ["Container", "Script"])
def test_own_code_gets_the_champion_for_the_data_comparison(framework: str) -> None:
    own = {"command": ["fit"], "image": "mine:1"} if framework == "Container" else {"script": {"inline": "pass"}}
    job = job_view(spec={**SPEC, "framework": framework, **own})
    assert trainer_config(ModelObjects((judged(1),)), job=job).champion is not None
