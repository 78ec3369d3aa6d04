"""Gates on a real node: the metrics of real trainings are compared with fixed values and with the champion."""

import random
from typing import Any

import pytest

from tests.e2e.stage import Json, Stage, condition

MODEL = "gates-e2e"
VERDICT_SECONDS = 120


def table(rows: int = 600, seed: int = 3) -> str:
    draw = random.Random(seed)
    lines = []
    for _ in range(rows):
        x, z = draw.random(), draw.random()
        lines.append(f"{x:.6f},{z:.6f},{4 * x + z * z + 0.1 * draw.random():.6f}")
    return "x,z,y\n" + "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def data(stage: Stage) -> Json:
    return {"uri": stage.put("gates.csv", table()), "target": "y"}


def train(stage: Stage, name: str, data: Json, **spec: Any) -> Json:
    """Train a version of the model. Return the version once it has a verdict."""
    stage.apply(name, modelName=MODEL, framework="LightGBM", task="Regression", data=data, **spec)
    job = stage.wait_for_phase(name, "Succeeded", "Failed")
    assert job["status"]["phase"] == "Succeeded", condition(job, "Ready")["message"]
    version = job["status"]["modelVersion"]["name"]

    def judged() -> Json | None:
        found = stage.get("mv", version)
        return found if found["status"]["phase"] != "Pending" else None

    body: Json = stage.wait_until(f"ModelVersion {version} to be judged", judged, VERDICT_SECONDS, about=name)
    return body


def reasons(version: Json) -> list[str]:
    return [gate["reason"] for gate in version["status"]["gates"]]


def metric(version: Json, name: str) -> float:
    return next(float(each["value"]) for each in version["spec"]["metrics"] if each["name"] == name)


NOT_WORSE = {"metric": "mae", "compareTo": "Champion", "tolerance": 0.05}
BETTER_THAN_NAIVE = {"metric": "skill", "op": ">", "value": 0.2}


@pytest.fixture(scope="module")
def first(stage: Stage, data: Json) -> Json:
    """The model's first version. It is good and has no champion."""
    return train(stage, "gates-first", data, gates=[BETTER_THAN_NAIVE, NOT_WORSE], objective={"metric": "mae"})


@pytest.fixture(scope="module")
def again(stage: Stage, data: Json, first: Json) -> Json:
    """The same data, seed and parameters again."""
    return train(stage, "gates-again", data, gates=[NOT_WORSE])


@pytest.fixture(scope="module")
def weak(stage: Stage, data: Json, again: Json) -> Json:
    """A training that learns almost nothing, on the same rows."""
    parameters = {"num_leaves": 2, "learning_rate": 0.0001}
    return train(stage, "gates-hasty", data, parameters=parameters, gates=[BETTER_THAN_NAIVE, NOT_WORSE])


@pytest.fixture(scope="module")
def grown(stage: Stage, data: Json, weak: Json) -> Json:
    """The training of the next night: a hundred new rows, and a gate with a confidence."""
    grown_data = {**data, "uri": stage.put("gates-grown.csv", table(rows=700))}
    return train(stage, "gates-grown", grown_data, gates=[{**NOT_WORSE, "tolerance": 0.2, "confidence": 0.95}])


@pytest.fixture(scope="module")
def other_rows(stage: Stage, data: Json, grown: Json) -> Json:
    """A good training that holds out other rows than the champion."""
    return train(stage, "gates-other-rows", data, split={"seed": 7}, gates=[{**NOT_WORSE, "tolerance": 0.5}])


def test_the_first_version_is_validated(stage: Stage, first: Json) -> None:
    assert first["status"]["phase"] == "Validated"
    assert reasons(first) == ["Met", "NoChampion"]
    assert condition(first, "Ready")["status"] == "True"
    assert first["spec"]["storage"]["uri"].startswith("s3://")
    assert first["spec"]["objectiveValue"]


def test_the_same_training_passes_its_champion_gate(first: Json, again: Json) -> None:
    assert again["status"]["phase"] == "Validated"
    (gate,) = again["status"]["gates"]
    assert (gate["champion"], gate["reason"]) == (first["spec"]["version"], "Met")
    assert again["spec"]["holdoutDigest"] == first["spec"]["holdoutDigest"]
    comparison = again["spec"]["comparison"]
    assert (comparison["reason"], comparison["champion"]) == ("Compared", first["spec"]["version"])
    assert float(gate["threshold"]) == pytest.approx(1.05 * metric(first, "mae"))
    assert float(gate["difference"]) == 0


def test_a_worse_version_is_rejected_with_its_numbers(stage: Stage, again: Json, weak: Json) -> None:
    assert weak["status"]["phase"] == "Rejected"
    assert reasons(weak) == ["NotMet", "NotMet"]
    gate = weak["status"]["gates"][1]
    assert gate["champion"] == again["spec"]["version"]
    assert float(gate["value"]) == metric(weak, "mae") > float(gate["threshold"])
    message = condition(weak, "Ready")["message"]
    assert "2 of 2 gates not met" in message
    description = stage.kubectl("describe", "mv", weak["metadata"]["name"])
    assert "Rejected" in description
    assert message in " ".join(description.split())


def test_a_training_with_more_data_passes_the_gate(again: Json, grown: Json) -> None:
    assert grown["status"]["phase"] == "Validated", grown["status"]["gates"]
    assert grown["spec"]["comparison"]["reason"] == "Compared"
    (gate,) = grown["status"]["gates"]
    assert gate["reason"] == "Met"
    assert gate["champion"] == again["spec"]["version"], "a rejected version does not become champion"
    assert float(gate["low"]) <= float(gate["difference"]) <= float(gate["high"]) <= 0.2 * float(gate["championValue"])


def test_only_rows_that_the_champion_was_not_trained_on_are_compared(grown: Json, other_rows: Json) -> None:
    """The seed is different.

    The champion was trained on most of the rows that are now held out. Only the others count.
    """
    comparison = other_rows["spec"]["comparison"]
    assert other_rows["spec"]["holdoutDigest"] != grown["spec"]["holdoutDigest"]
    assert (comparison["reason"], comparison["champion"]) == ("Compared", grown["spec"]["version"])
    assert 0 < comparison["rows"] < 60, "a fifth of a fifth of 600 rows"
    (gate,) = other_rows["status"]["gates"]
    assert (gate["champion"], gate["reason"]) == (grown["spec"]["version"], "Met")


def test_a_gate_on_an_unknown_metric_fails_the_training_at_its_start(stage: Stage, data: Json) -> None:
    gates = [{"metric": "mapee", "op": "<", "value": 1}]
    stage.apply("gates-typo", framework="LightGBM", task="Regression", data=data, gates=gates)
    job = stage.wait_for_phase("gates-typo", "Failed", "Succeeded")
    assert job["status"]["attempts"][0]["exitCode"] == 64
    assert (
        "spec.gates[0].metric mapee is not a metric of task Regression; did you mean mape?"
        in (condition(job, "Ready")["message"])
    )
    assert stage.versions_of(job) == []


def test_kubectl_get_mv_shows_the_verdicts(stage: Stage, other_rows: Json) -> None:
    heading, *rows = stage.kubectl("get", "mv", f"--selector=trainyard.dev/model={MODEL}").splitlines()
    print(heading, *rows, sep="\n")  # docs/modelversion.md shows this
    assert heading.split() == ["NAME", "MODEL", "VERSION", "PHASE", "REASON", "METRIC", "OBJECTIVE", "JOB", "AGE"]
    verdicts = {row.split()[7]: row.split()[3] for row in rows}
    assert verdicts == {
        **dict.fromkeys(("gates-first", "gates-again", "gates-grown", "gates-other-rows"), "Validated"),
        "gates-hasty": "Rejected",
    }


def test_a_version_keeps_its_verdict_after_its_job_is_deleted(stage: Stage, first: Json) -> None:
    stage.kubectl("delete", "tj", "gates-first", "--wait")
    now = stage.get("mv", first["metadata"]["name"])
    assert now["status"]["gates"] == first["status"]["gates"]
    assert now["status"]["judgedTime"] == first["status"]["judgedTime"]
