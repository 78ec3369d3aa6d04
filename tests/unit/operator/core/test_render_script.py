"""Framework Script: what is mounted, and what the status says while the ConfigMap is missing."""

from typing import Any

import pytest

from tests.unit.operator.core.plans import STARTING, message_of
from tests.unit.operator.samples import CA, CONFIG, SPEC, attempt_job, child, job_view, observed, pod
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_operator.core.plan import Body
from trainyard_operator.core.training.planner import plan

FROM_CONFIG_MAP = {"configMapRef": {"name": "code", "key": "train.py"}}


def spec_of(script: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**SPEC, "framework": "Script", "script": script, **more}


def pod_of(script: dict[str, Any], **more: Any) -> Body:
    view = job_view(spec=spec_of(script, **more))
    job = attempt_job(view, TrainingJobSpec.model_validate(view.spec), 1, config=CONFIG, ca=CA)
    found: Body = job["spec"]["template"]["spec"]
    return found


def env_of(template: Body) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in template["containers"][0]["env"]}


def test_one_key_of_the_config_map_is_mounted_read_only() -> None:
    template = pod_of(FROM_CONFIG_MAP)
    volume = next(volume for volume in template["volumes"] if volume["name"] == "script")
    assert volume["configMap"] == {"name": "code", "items": [{"key": "train.py", "path": "train.py"}]}
    (mount,) = (each for each in template["containers"][0]["volumeMounts"] if each["name"] == "script")
    assert mount == {"name": "script", "mountPath": "/trainyard/script", "readOnly": True}
    assert env_of(template)["TRAINYARD_SCRIPT_DIR"] == "/trainyard/script"


def test_an_optional_config_map_does_not_block_the_pod() -> None:
    """The trainer then reports that the script is missing, and the job fails without a retry."""
    reference = {"configMapRef": {"name": "code", "key": "train.py", "optional": True}}
    volume = next(volume for volume in pod_of(reference)["volumes"] if volume["name"] == "script")
    assert volume["configMap"]["optional"] is True


@pytest.mark.parametrize("script", [{"inline": "print()"}, {"uri": "s3://code/train.py"}])
def test_other_script_sources_are_not_mounted(script: dict[str, Any]) -> None:
    template = pod_of(script)
    assert [volume["name"] for volume in template["volumes"]] == ["trainyard", "work"]
    assert "TRAINYARD_SCRIPT_DIR" not in env_of(template)


def test_the_claim_of_a_script_is_mounted() -> None:
    (volume,) = (v for v in pod_of({"uri": "pvc://code/train.py"})["volumes"] if "persistentVolumeClaim" in v)
    assert volume["persistentVolumeClaim"] == {"claimName": "code"}


def test_the_trainer_gets_the_variables_of_the_job() -> None:
    env = [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]
    assert pod_of(FROM_CONFIG_MAP, env=env)["containers"][0]["env"][-1] == env[0]


@pytest.mark.parametrize(
    ("script", "waiting", "message_end"),
    [
        (FROM_CONFIG_MAP, "", "the pod starts when key 'train.py' of ConfigMap 'code' (script.configMapRef) exists"),
        (FROM_CONFIG_MAP, "ImagePullBackOff: no", "ImagePullBackOff: no"),
        ({"inline": "print()"}, "", "waiting for a pod of Job diabetes-1"),
    ],
)
def test_the_status_names_a_missing_config_map(script: dict[str, Any], waiting: str, message_end: str) -> None:
    """The kubelet reports this only in Events."""
    job = job_view(STARTING, spec=spec_of(script))
    pods = {"diabetes-1": (pod(phase="Pending", waiting=waiting),)}
    message = message_of(plan(observed(job, child(), after=31, pods=pods)))
    assert message.endswith(message_end)
