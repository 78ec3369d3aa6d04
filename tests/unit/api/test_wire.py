"""The messages between operator and trainer: they arrive unchanged, and invalid ones get an error message."""

import json

import pytest
from pydantic import ValidationError

from tests.unit.api.cases import bases
from trainyard_api.exit_codes import NON_RETRYABLE, ExitCode, reason_of
from trainyard_api.meta import progress_path, token_audience
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_api.wire import ProgressReport, TrainerConfig, TrainingResult, parse_result

SUCCESS = {
    "outcome": "Succeeded",
    "modelVersion": {"version": 7, "label": "v2026-11-21T07-30-00-000Z_a1b2c3d4"},
    "artifact": {"uri": "s3://models/a", "manifestSha256": "0" * 64, "sizeBytes": 12},
    "formats": ["lightgbm-text"],
}


@pytest.mark.parametrize("name", ["small", "forecast", "sql", "script-inline", "container"])
def test_a_configuration_survives_a_round_trip(name: str) -> None:
    spec = TrainingJobSpec.model_validate(bases()[name]["spec"])
    sent = TrainerConfig(namespace="default", name=name, uid="1", model_name=name, spec=spec)
    assert TrainerConfig.parse(sent.to_json()) == sent


def test_a_trainer_ignores_unknown_fields_of_a_newer_operator() -> None:
    config = {
        "namespace": "a",
        "name": "b",
        "uid": "c",
        "modelName": "d",
        "spec": bases()["small"]["spec"],
        "fresh": 1,
    }
    config["spec"]["fresh"] = {"deep": 1}
    config["spec"]["data"]["fresh"] = 1
    assert TrainerConfig.parse(json.dumps(config)).spec.data.target == "target"


def test_a_success_needs_version_artifact_and_formats() -> None:
    assert isinstance(parse_result(json.dumps(SUCCESS)), TrainingResult)
    for name in ("modelVersion", "artifact", "formats"):
        result = parse_result(json.dumps({key: value for key, value in SUCCESS.items() if key != name}))
        assert isinstance(result, str)
        assert "needs modelVersion, artifact and formats" in result


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the pod ended without a result in its termination message"),
        (" \n", "the pod ended without a result in its termination message"),
        ("Killed", "cannot be read: text: Invalid JSON"),
        (json.dumps(SUCCESS)[:-9], "cannot be read: text: Invalid JSON"),
        ("[]", "cannot be read: text: Input should be"),
        ('{"outcome": "Perhaps"}', "cannot be read: outcome: Input should be"),
        (
            '{"outcome": "Failed", "message": "' + "x" * 2000 + '"}',
            "cannot be read: message: String should have at most",
        ),
    ],
)
def test_an_invalid_termination_message_gives_an_error(text: str, message: str) -> None:
    result = parse_result(text)
    assert isinstance(result, str)
    assert message in result


@pytest.mark.parametrize(
    "report",
    [
        {},
        {"trainerStatus": {"progressPercentage": 101}},
        {"trainerStatus": {"estimatedRemainingSeconds": -1}},
        {"trainerStatus": {"metrics": [{"name": "mae", "value": "nan"}]}},
        {"trainerStatus": {"message": "x" * 1025}},
    ],
)
def test_invalid_progress_is_refused(report: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ProgressReport.model_validate(report)


def test_progress_of_kubeflow_is_accepted() -> None:
    """KEP-2779 sends its own time, which is ignored."""
    status = {"progressPercentage": 45, "metrics": [{"name": "loss", "value": "0.5"}], "lastUpdatedTime": "2026-01-01"}
    report = ProgressReport.model_validate({"trainerStatus": status})
    assert report.trainer_status.progress_percentage == 45


def test_every_exit_code_has_a_reason() -> None:
    assert len({code.reason for code in ExitCode}) == len(ExitCode)
    assert reason_of(65) == "BadData"
    assert reason_of(139) == reason_of(1) == "Crashed"
    assert ExitCode.OK not in NON_RETRYABLE
    assert ExitCode.UPSTREAM_UNAVAILABLE not in NON_RETRYABLE


def test_a_token_is_valid_for_one_job() -> None:
    assert token_audience("a", "b", "u1") != token_audience("a", "b", "u2")
    assert progress_path("a", "b") == "/apis/trainyard.dev/v1alpha1/namespaces/a/trainingjobs/b/status"
