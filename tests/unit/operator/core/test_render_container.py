"""Framework Container: three steps in one pod, and which folders and variables each of them has."""

from typing import Any

import pytest

from tests.unit.operator.samples import CA, CONFIG, SPEC, attempt_job, job_view
from trainyard_api.pod import Resources
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_operator.core.config import Images, OperatorConfig
from trainyard_operator.core.plan import Body

CONTAINER = {
    "framework": "Container",
    "image": "mine:1",
    "command": ["python", "train.py", "$(TRAINYARD_CONFIG)"],
    "data": {"uri": "pvc://sales/daily.csv", "target": "y", "secretRef": {"name": "reader"}},
    "storage": {"uri": "s3://models", "secretRef": {"name": "writer"}},
}


def job_of(*, config: OperatorConfig = CONFIG, out_of_memory: int = 0, **spec: Any) -> Body:
    view = job_view(spec={**SPEC, **CONTAINER, **spec})
    parsed = TrainingJobSpec.model_validate(view.spec)
    return attempt_job(view, parsed, 1, config=config, ca=CA, out_of_memory=out_of_memory)


def pod_of(**more: Any) -> Body:
    pod: Body = job_of(**more)["spec"]["template"]["spec"]
    return pod


def steps_of(**more: Any) -> tuple[Body, Body, Body]:
    pod = pod_of(**more)
    fetch, trainer = pod["initContainers"]
    (register,) = pod["containers"]
    return fetch, trainer, register


def mounts_of(container: Body) -> dict[str, str]:
    return {m["mountPath"]: m["name"] + (" (ro)" if m.get("readOnly") else "") for m in container["volumeMounts"]}


def test_the_order_of_the_steps() -> None:
    steps = steps_of()
    assert [step["name"] for step in steps] == ["fetch", "trainer", "register"]
    assert [step["image"] for step in steps] == [CONFIG.images.trainer, "mine:1", CONFIG.images.trainer]
    assert [step.get("args") for step in steps] == [["fetch"], None, ["register"]]
    assert [step.get("command") for step in steps] == [None, CONTAINER["command"], None]


def test_the_users_container_gets_no_cloud_identity() -> None:
    """The webhooks of EKS and AKS give a cloud role to every container that these annotations do not list."""
    eks, aks = "eks.amazonaws.com/skip-containers", "azure.workload.identity/skip-containers"

    def skip_annotations(**spec: Any) -> dict[str, str]:
        annotations: dict[str, str] = job_of(**spec)["spec"]["template"]["metadata"]["annotations"]
        return {name: value for name, value in annotations.items() if "skip-containers" in name}

    assert skip_annotations() == {eks: "trainer", aks: "trainer"}
    given = {eks: "proxy, trainer,", aks: "proxy;other"}
    assert skip_annotations(podAnnotations=given) == {eks: "proxy,trainer", aks: "proxy;other;trainer"}
    assert skip_annotations(framework="LightGBM", image=None, command=None) == {}
    assert skip_annotations(mode="Prepare") == {}


def test_the_users_container_has_only_its_own_folders() -> None:
    fetch, trainer, register = steps_of()
    ours = {
        "/var/run/trainyard": "trainyard (ro)",
        "/tmp": "work",
        "/var/run/secrets/trainyard/data": "data-secret (ro)",
        "/var/run/secrets/trainyard/storage": "storage-secret (ro)",
        "/mnt/claims/sales": "claim-0 (ro)",
    }
    output = {"/trainyard/output": "output (ro)"}
    assert mounts_of(fetch) == {**ours, "/trainyard/input": "input", **output}
    assert mounts_of(register) == {**ours, **output}
    assert mounts_of(trainer) == {
        "/tmp": "scratch",
        "/trainyard/input": "input (ro)",
        "/trainyard/output": "output",
    }


def test_every_mount_has_its_volume() -> None:
    pod = pod_of()
    volumes = [volume["name"] for volume in pod["volumes"]]
    assert len(volumes) == len(set(volumes))
    mounted = {m["name"] for c in (*pod["initContainers"], *pod["containers"]) for m in c["volumeMounts"]}
    assert mounted == set(volumes)


def test_only_the_users_container_gets_the_variables_of_the_job() -> None:
    fetch, trainer, register = steps_of(env=[{"name": "HOME", "value": "/elsewhere"}, {"name": "A", "value": "b"}])
    assert trainer["env"] == [
        {"name": "TRAINYARD_CONFIG", "value": "/trainyard/input/config.json"},
        {"name": "HOME", "value": "/elsewhere"},
        {"name": "A", "value": "b"},
    ]
    assert {"name": "HOME", "value": "/tmp"} in steps_of()[1]["env"]
    for step in (fetch, register):
        names = [variable["name"] for variable in step["env"]]
        assert "A" not in names
        assert {"TRAINYARD_CONFIG_DIR", "TRAINYARD_INPUT_DIR", "TRAINYARD_OUTPUT_DIR"} <= set(names)


def test_all_containers_meet_the_restricted_profile() -> None:
    restricted = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [step["securityContext"] for step in steps_of()] == [restricted] * 3
    assert pod_of()["securityContext"]["runAsNonRoot"] is True
    assert pod_of()["automountServiceAccountToken"] is False


def test_the_users_container_falls_back_to_its_log_for_the_message() -> None:
    assert [step["terminationMessagePolicy"] for step in steps_of()] == ["File", "FallbackToLogsOnError", "File"]


def test_a_final_exit_code_of_any_step_ends_the_job() -> None:
    rules = job_of()["spec"]["podFailurePolicy"]["rules"][1:]
    assert [rule["onExitCodes"]["containerName"] for rule in rules] == ["fetch", "trainer", "register"]
    assert all(rule["action"] == "FailJob" and 65 in rule["onExitCodes"]["values"] for rule in rules)


def test_only_the_users_container_gets_the_accelerator() -> None:
    fetch, trainer, register = steps_of(accelerator={"resource": "nvidia.com/gpu", "count": 2})
    assert trainer["resources"]["limits"]["nvidia.com/gpu"] == 2
    assert "nvidia.com/gpu" not in str((fetch["resources"], register["resources"]))


DEFAULTS = Resources(requests={"cpu": "1", "memory": "1Gi"}, limits={"memory": "2Gi"})


@pytest.mark.parametrize(
    ("own", "defaults", "expected"),
    [
        (None, DEFAULTS, {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}),
        (
            {"limits": {"cpu": "4", "memory": "64Mi"}},
            DEFAULTS,
            {"requests": {"cpu": "4", "memory": "1Gi"}, "limits": {"cpu": "4", "memory": "2Gi"}},
        ),
        (
            {"limits": {"memory": "16Gi"}},
            DEFAULTS,
            {"requests": {"cpu": "1", "memory": "16Gi"}, "limits": {"memory": "16Gi"}},
        ),
        ({"requests": {"memory": "16Gi"}}, DEFAULTS, {"requests": {"cpu": "1", "memory": "16Gi"}, "limits": {}}),
        (
            {"limits": {"memory": "64Mi"}},
            Resources(requests={"memory": "1Gi"}),
            {"requests": {"memory": "1Gi"}, "limits": {"memory": "1Gi"}},
        ),
    ],
)
def test_no_step_gets_less_memory_than_the_default(
    own: dict[str, Any] | None, defaults: Resources, expected: dict[str, Any]
) -> None:
    spec = {} if own is None else {"resources": own}
    fetch, _, register = steps_of(config=CONFIG.model_copy(update={"resources": defaults}), **spec)
    assert {"limits": {}, **fetch["resources"]} == expected
    assert fetch["resources"] == register["resources"]


def test_the_users_container_gets_its_own_resources() -> None:
    _, trainer, _ = steps_of(resources={"limits": {"memory": "64Mi"}})
    assert trainer["resources"] == {
        "requests": {"cpu": "1", "memory": "64Mi", "ephemeral-storage": "1Gi"},
        "limits": {"memory": "64Mi", "ephemeral-storage": "20Gi"},
    }


def test_memory_grows_with_each_kill() -> None:
    steps = steps_of(out_of_memory=1, resources={"limits": {"memory": "3Gi"}})
    assert [step["resources"]["limits"]["memory"] for step in steps] == ["4608Mi"] * 3


def test_the_image_of_the_trainer_steps_can_be_configured() -> None:
    config = OperatorConfig(images=Images(trainer="t:1", by_framework={"Container": "steps:1"}))
    fetch, trainer, register = steps_of(config=config)
    assert (fetch["image"], trainer["image"], register["image"]) == ("steps:1", "mine:1", "steps:1")
