"""Mistakes of users end with the right code, one message with the cause and its position, and no retry."""

import json
from typing import Any

import pytest

from demo.images import TAG, repository
from tests.e2e.stage import Json, Stage, condition

ROWS = "".join(f"{n},{n * 2 + n % 3}\n" for n in range(200))
LATIN = b"x,y\n" + ROWS.encode() + b"\xff\xfe,3\n"
DAYS = [f"2025-{month:02d}-{day:02d}" for month in range(1, 7) for day in range(1, 29)]
ZEROS = "date,product,quantity\n" + "".join(f"{day},tea,0\n" for day in DAYS)

REGRESSION: dict[str, Any] = {"framework": "LightGBM", "task": "Regression"}
FORECAST: dict[str, Any] = {"framework": "Prophet", "task": "Forecast", "forecast": {"horizon": 7}}

# name: (object key, content, spec without data, data without uri, reason, exit code, words of the message)
TABLES: dict[str, tuple[str, str | bytes, Json, Json, str, int, tuple[str, ...]]] = {
    "missing-column": ("plain.csv", "x,y\n" + ROWS, REGRESSION, {"target": "z"}, "BadData", 65, ("z", "plain.csv")),
    "text-in-target": (
        *("text.csv", f"x,y\n{ROWS}200,many\n", REGRESSION),
        *({"target": "y"}, "BadData", 65, ("y", "many")),
    ),
    "five-rows": ("five.csv", "x,y\n1,2\n2,3\n3,4\n4,5\n5,6\n", REGRESSION, {"target": "y"}, "BadData", 65, ("5",)),
    "all-zero-series": (
        *("zeros.csv", ZEROS, FORECAST, {"target": "quantity", "time": "date", "series": "product"}),
        *("BadData", 65, ("tea",)),
    ),
    "empty-file": ("empty.csv", "", REGRESSION, {"target": "y"}, "BadData", 65, ("empty.csv", "empty")),
    "open-quote": ("quote.csv", 'x,y\n"1,2\n' + ROWS, REGRESSION, {"target": "y"}, "BadData", 65, ("quote", "line 2")),
    "bad-utf8": ("latin.csv", LATIN, REGRESSION, {"target": "y"}, "BadData", 65, ("utf-8",)),
}  # fmt: skip


@pytest.fixture(scope="module")
def jobs(stage: Stage) -> dict[str, Json]:
    """Apply all jobs at once, and return them after their end."""
    for name, (key, content, spec, data, *_) in TABLES.items():
        stage.apply(name, **spec, data={"uri": stage.put(key, content), **data})
    good = {"target": "y", "uri": stage.put("good.csv", "x,y\n" + ROWS)}
    stage.apply("no-such-bucket", **REGRESSION, data={"uri": "s3://no-such-bucket/x.csv", "target": "y"})
    stage.apply("unknown-parameter", **REGRESSION, data=good, parameters={"num_leafs": 7})
    stage.apply("unsupported", framework="Torch", task="Regression", data=good, image=f"{repository('trainer')}:{TAG}")
    stage.apply("storage-missing", **REGRESSION, data=good, storage={"uri": "s3://no-such-models/"})
    names = [*TABLES, "no-such-bucket", "unknown-parameter", "unsupported", "storage-missing"]
    return {name: stage.wait_for_phase(name, "Failed", "Succeeded") for name in names}


def check_failure(stage: Stage, job: Json, reason: str, code: int, words: tuple[str, ...]) -> None:
    ready = condition(job, "Ready")
    assert (job["status"]["phase"], ready["reason"]) == ("Failed", reason), ready["message"]
    assert condition(job, "Stalled")["status"] == "True"
    (attempt,) = job["status"]["attempts"]
    assert attempt["exitCode"] == code, "there is only one attempt, because a retry cannot help"
    for word in words:
        assert word.lower() in ready["message"].lower(), ready["message"]
    assert ready["message"] in " ".join(stage.kubectl("describe", "tj", job["metadata"]["name"]).split())
    assert stage.versions_of(job) == []


@pytest.mark.parametrize("name", TABLES)
def test_a_bad_table_fails_the_job(stage: Stage, jobs: dict[str, Json], name: str) -> None:
    *_, reason, code, words = TABLES[name]
    check_failure(stage, jobs[name], reason, code, words)


@pytest.mark.parametrize(
    ("name", "reason", "code", "words"),
    [
        ("no-such-bucket", "InputMissing", 66, ("no-such-bucket",)),
        ("unknown-parameter", "BadConfig", 64, ("num_leafs", "num_leaves")),
        ("unsupported", "Unsupported", 78, ("Torch",)),
        ("storage-missing", "InputMissing", 66, ("no-such-models",)),
    ],
)
def test_a_bad_address_or_option_fails_the_job(
    stage: Stage, jobs: dict[str, Json], name: str, reason: str, code: int, words: tuple[str, ...]
) -> None:
    check_failure(stage, jobs[name], reason, code, words)


def test_a_server_that_does_not_respond_is_retried(stage: Stage) -> None:
    stage.apply(
        "no-server",
        **REGRESSION,
        data={"uri": "https://127.0.0.1:9/x.csv", "target": "y"},
        retry={"maxAttempts": 2, "initialSeconds": 1},
    )
    job = stage.wait_for_phase("no-server", "Failed", "Succeeded")
    assert [attempt["reason"] for attempt in job["status"]["attempts"]] == ["UpstreamUnavailable"] * 2
    assert "attempt 2 of 2" in condition(job, "Ready")["message"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"framework": "Magic"}, "spec.framework"),
        ({"data": {"uri": "s3://b/k", "target": ""}}, "spec.data.target"),
        ({"surprise": 1}, '"spec.surprise"'),
    ],
)
def test_apply_refuses_violations_of_the_schema(stage: Stage, changes: Json, words: str) -> None:
    spec = {**REGRESSION, "data": {"uri": "s3://b/k", "target": "y"}, **changes}
    body = {"apiVersion": "trainyard.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": "no"}, "spec": spec}
    assert words in stage.refused("apply", "-f", "-", stdin=json.dumps(body))
