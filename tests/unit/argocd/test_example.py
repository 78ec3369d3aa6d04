"""The example Application contains valid objects that belong together."""

from typing import Any

import yaml

from tests.unit.api.cases import pydantic_verdict
from trainyard_api.generate import checkout

FOLDER = checkout() / "examples/argocd"


def documents(pattern: str) -> dict[str, dict[str, Any]]:
    loaded = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in FOLDER.glob(pattern))
    return {each["kind"]: each for each in loaded}


def test_the_application_has_a_schedule_and_a_deployment_of_one_model() -> None:
    things = documents("app/*.yaml")
    assert set(things) == {"TrainingSchedule", "ModelDeployment"}
    assert [pydantic_verdict(thing) for thing in things.values()] == [None, None]
    schedule = things["TrainingSchedule"]["spec"]
    assert schedule["runOnChange"] is True
    assert schedule["template"]["spec"]["modelName"] == things["ModelDeployment"]["spec"]["modelName"]


def test_the_application_points_to_the_folder() -> None:
    application = documents("application.yaml")["Application"]
    assert (checkout() / application["spec"]["source"]["path"]).samefile(FOLDER / "app")
    assert "ignoreDifferences" not in application["spec"]
