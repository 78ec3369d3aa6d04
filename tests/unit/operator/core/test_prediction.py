"""Which version a PredictionJob uses, and the pod that predicts."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.operator.core import versions
from tests.unit.operator.samples import CA, CONFIG
from trainyard_api import API_VERSION, meta
from trainyard_operator.core.batch.kind import Unmet
from trainyard_operator.core.champion import ModelObjects
from trainyard_operator.core.config import ProgressServer, StorageDefaults
from trainyard_operator.core.facts import Fact, Need
from trainyard_operator.core.objects import ModelVersionView
from trainyard_operator.core.plan import Body
from trainyard_operator.core.prediction import choice
from trainyard_operator.core.prediction.planner import PREDICTION
from trainyard_operator.core.prediction.render import launch
from trainyard_operator.core.prediction.state import PredictionState
from trainyard_operator.kube import views

MODEL = "m"
DATA = {"uri": "s3://customers/today.csv"}
OUTPUT = {"files": {"uri": "s3://predictions/churn"}}


def body_of(kind: str, name: str, spec: Body, status: Body | None = None) -> Body:
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": "team",
            "uid": f"uid-{name}",
            "resourceVersion": "1",
            "generation": 1,
            "creationTimestamp": "2026-11-21T08:00:00Z",
        },
        "spec": spec,
        "status": {"observedGeneration": 1, **status} if status else {"observedGeneration": -1},
    }


def version(number: int, phase: str = "Validated", **spec: Any) -> ModelVersionView:
    whole = {**versions.spec(number, "1.5"), **spec}
    return views.model_version(body_of("ModelVersion", f"{MODEL}-v{number}", whole, {"phase": phase}))


def state(model: Body, *known: ModelVersionView, active: int | None = None, **spec: Any) -> PredictionState:
    job = views.prediction_job(
        body_of("PredictionJob", "churn", {"model": model, "data": DATA, "output": OUTPUT, **spec})
    )
    deployed = {"activeVersion": active} if active is not None else {"phase": "Pending"}
    deployment = views.model_deployment(body_of("ModelDeployment", "shop", {"modelName": MODEL}, deployed))
    return PredictionState(
        job=job,
        workloads=(),
        now=job.created,
        config=CONFIG,
        ca=CA,
        deployment=deployment if "deployment" in model else None,
        model_objects=ModelObjects(known, (deployment,)),
    )


def chosen(found: PredictionState) -> Any:
    result = choice.choose(found, PREDICTION.spec_of(found))
    return result.version if isinstance(result, ModelVersionView) else result


def test_the_active_version_of_a_deployment_predicts() -> None:
    assert chosen(state({"deployment": "shop"}, version(1), version(2), version(3), active=2)) == 2


def test_the_newest_validated_version_predicts() -> None:
    assert chosen(state({"name": MODEL}, version(1), version(2), version(3, "Rejected"), version(4, "Pending"))) == 2


@pytest.mark.parametrize("phase", ["Validated", "Rejected", "Quarantined"])
def test_a_numbered_version_predicts_whatever_its_phase(phase: str) -> None:
    assert chosen(state({"name": MODEL, "version": 1}, version(1, phase), version(2))) == 1


@pytest.mark.parametrize(
    ("model", "known", "active", "reason", "says"),
    [
        ({"deployment": "shop"}, (), None, choice.NO_ACTIVE_VERSION, "ModelDeployment shop"),
        ({"deployment": "shop"}, (1,), 2, choice.VERSION_MISSING, "version 2"),
        ({"name": MODEL}, (), None, choice.NO_VALIDATED_VERSION, "model m"),
        ({"name": MODEL, "version": 7}, (1, 2), None, choice.VERSION_MISSING, "version 7 of model m"),
    ],
)
def test_it_waits_for_a_version(
    model: Body, known: tuple[int, ...], active: int | None, reason: str, says: str
) -> None:
    found = chosen(state(model, *(version(number) for number in known), active=active))
    assert isinstance(found, Unmet)
    assert (found.reason, says in found.message) == (reason, True)


def test_it_waits_for_its_deployment() -> None:
    found = state({"deployment": "shop"})
    without = PredictionState(job=found.job, workloads=(), now=found.now, config=CONFIG, ca=CA)
    unmet = chosen(without)
    assert isinstance(unmet, Unmet)
    assert unmet.reason == choice.DEPLOYMENT_MISSING


def test_a_deployment_that_this_release_cannot_read_is_named() -> None:
    found = state({"deployment": "shop"}, version(1), active=1)
    assert found.deployment is not None
    strange = replace(found.deployment, unreadable="status.phase: no such phase")
    unmet = chosen(replace(found, deployment=strange))
    assert isinstance(unmet, Unmet)
    assert (unmet.reason, "status.phase" in unmet.message) == (choice.DEPLOYMENT_UNREADABLE, True)


def test_the_versions_are_read_only_for_a_start() -> None:
    found = state({"name": MODEL})
    unread = PredictionState(job=found.job, workloads=(), now=found.now, config=CONFIG, ca=CA)
    assert chosen(unread) == Need(Fact.MODEL_OBJECTS, MODEL)


# ---- the pod ---------------------------------------------------------------------------------------------------------


def pod_of(model: Body, *, config: Any = CONFIG, **spec: Any) -> tuple[Body, Body]:
    """Return the pod template and the configuration of the first attempt."""
    found = state(model, version(1, storage={"uri": "s3://models", "secretRef": {"name": "models-reader"}}), **spec)
    made = launch(
        found.job,
        PREDICTION.spec_of(found),
        1,
        found.model_objects.versions[0],
        config=config,
        ca=CA,  # type: ignore[union-attr]
    )
    assert made.name == "churn-p1"
    assert made.labels[meta.VERSION_LABEL] == "1"
    return made.template, json.loads(made.template["metadata"]["annotations"][meta.CONFIG_ANNOTATION])


def test_the_pod_gets_the_version_and_reports_to_its_own_address() -> None:
    operator = CONFIG.model_copy(update={"progress": ProgressServer(url="https://operator")})
    template, config = pod_of({"name": MODEL}, config=operator)
    assert (config["version"], config["modelName"], config["uid"]) == (1, MODEL, "uid-churn")
    assert config["artifact"]["manifestSha256"] == version(1).digest
    assert config["progressUrl"].endswith("/namespaces/team/predictionjobs/churn/status")
    [container] = template["spec"]["containers"]
    assert (container["name"], container["args"]) == (meta.CONTAINER, ["predict"])
    [projected] = [each for each in template["spec"]["volumes"] if "projected" in each]
    token = projected["projected"]["sources"][1]["serviceAccountToken"]
    assert token["audience"] == meta.token_audience("team", "churn", "uid-churn", plural="predictionjobs")


def test_each_secret_and_claim_has_its_own_mount() -> None:
    data = {"sql": {"secretRef": {"name": "warehouse"}, "query": "select 1"}}
    template, _ = pod_of({"name": MODEL}, data=data, output={"files": {"uri": "pvc://results/churn"}})
    secrets = {v["secret"]["secretName"]: v["name"] for v in template["spec"]["volumes"] if "secret" in v}
    mounts = {m["name"]: m for m in template["spec"]["containers"][0]["volumeMounts"]}
    assert {name: mounts[volume]["mountPath"] for name, volume in secrets.items()} == {
        "warehouse": meta.DATA_SECRET_DIR,
        "models-reader": meta.STORAGE_SECRET_DIR,
    }
    assert mounts["claim-0"] == {"name": "claim-0", "mountPath": "/mnt/claims/results", "readOnly": False}


def test_the_output_gets_the_server_of_the_chart_if_it_names_none() -> None:
    defaults = StorageDefaults(uri="s3://models", endpoint="https://s3.example", secret_name="chart")
    config = CONFIG.model_copy(update={"storage": defaults})
    template, settings = pod_of({"name": MODEL}, config=config)
    assert settings["spec"]["output"]["files"]["endpoint"] == "https://s3.example"
    secrets = [v["secret"]["secretName"] for v in template["spec"]["volumes"] if "secret" in v]
    assert secrets == ["models-reader", "chart"]
    own = {"files": {"uri": "s3://own", "secretRef": {"name": "mine"}}}
    _, settings = pod_of({"name": MODEL}, config=config, output=own)
    assert "endpoint" not in settings["spec"]["output"]["files"]
