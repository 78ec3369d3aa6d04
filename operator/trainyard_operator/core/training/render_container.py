"""Pods of framework Container: the user's image runs between two steps of the trainer, without Secrets and tokens.

``fetch`` reads and prepares the data, the user's container trains, and ``register`` uploads the result. They run one
after the other and share two volumes: ``input``, which is read-only for the user's container, and ``output``.
"""

from typing import Final

from trainyard_api import meta
from trainyard_api.pod import PodOptions, Resources
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.core.plan import Body
from trainyard_operator.core.quantity import to_bytes
from trainyard_operator.core.resolve import InvalidSpecError

_INPUT, _OUTPUT, _SCRATCH = "input", "output", "scratch"
_ORDINARY = ("cpu", "memory", "ephemeral-storage")
"""Resources that every step gets. All other resources are devices, and only the user's container gets them."""


_SKIPPED_BY: Final = {"eks.amazonaws.com/skip-containers": ",", "azure.workload.identity/skip-containers": ";"}
"""Annotations that list the containers without a cloud identity, with their separator."""


def is_container(spec: TrainingJobSpec) -> bool:
    """Return whether the user's image runs. With ``mode: Prepare``, only the trainer runs."""
    return spec.framework == "Container" and spec.mode == "Train"


def without_identity(spec: TrainingJobSpec, options: PodOptions) -> dict[str, str]:
    """Return the annotations that keep the cloud identity out of the user's container.

    The webhooks of EKS and AKS add the role of the service account to every container that is not listed here. Names
    from the chart or the user are kept.
    """
    if not is_container(spec):
        return {}
    given = {**(options.annotations or {}), **(options.pod_annotations or {})}
    names = {key: [name.strip() for name in given.get(key, "").split(sep)] for key, sep in _SKIPPED_BY.items()}
    return {
        key: sep.join(dict.fromkeys([*filter(None, names[key]), meta.CONTAINER])) for key, sep in _SKIPPED_BY.items()
    }


def three_steps(
    trainer: Body, spec: TrainingJobSpec, config: OperatorConfig, scratch: Body
) -> tuple[list[Body], Body, list[Body]]:
    """Return the init containers, the main container, and the volumes that they need in addition to the trainer's.

    Parameters
    ----------
    trainer
        The container of a built-in framework: the user's image and resources, the trainer's mounts and environment.
    scratch
        The volume source of the shared folders.

    Raises
    ------
    InvalidSpecError
        If the memory in ``spec.resources`` is not a quantity.
    """
    step: Body = {
        **trainer,
        "image": config.images.for_framework("Container"),
        "resources": _step_resources(trainer["resources"], config.resources),
        "env": [
            *trainer["env"],
            {"name": meta.INPUT_DIR_ENV, "value": meta.INPUT_DIR},
            {"name": meta.OUTPUT_DIR_ENV, "value": meta.OUTPUT_DIR},
        ],
    }
    fetch = {
        **step,
        "name": meta.FETCH_CONTAINER,
        "args": ["fetch"],
        # It does not write to the output, but writes its path into the user's config.json.
        "volumeMounts": [*trainer["volumeMounts"], _mount(_INPUT), _mount(_OUTPUT, read_only=True)],
    }
    register = {
        **step,
        "name": meta.REGISTER_CONTAINER,
        "args": ["register"],
        "volumeMounts": [*trainer["volumeMounts"], _mount(_OUTPUT, read_only=True)],
    }
    volumes = [{"name": name, **scratch} for name in (_INPUT, _OUTPUT, _SCRATCH)]
    return [fetch, _users(trainer, spec)], register, volumes


def _users(trainer: Body, spec: TrainingJobSpec) -> Body:
    """Return the user's container, with its own folders and variables and without the trainer's mounts."""
    paths = {meta.CONTAINER_CONFIG_ENV: f"{meta.INPUT_DIR}/{meta.CONFIG_FILE}", "HOME": meta.WORK_DIR}
    own = [variable.wire() for variable in spec.env or ()]
    return {
        **trainer,
        "command": spec.command,
        "env": [*({"name": k, "value": v} for k, v in paths.items() if k not in {each["name"] for each in own}), *own],
        "volumeMounts": [
            {"name": _SCRATCH, "mountPath": meta.WORK_DIR},
            _mount(_INPUT, read_only=True),
            _mount(_OUTPUT),
        ],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _mount(volume: str, *, read_only: bool = False) -> Body:
    paths = {_INPUT: meta.INPUT_DIR, _OUTPUT: meta.OUTPUT_DIR}
    return {"name": volume, "mountPath": paths[volume], **({"readOnly": True} if read_only else {})}


def _step_resources(own: Body, defaults: Resources) -> Body:
    """Return the resources of ``fetch`` and ``register``: the user's without devices, with at least the default memory.

    A pod requests the maximum of its steps, so this reserves no more. ``fetch`` sees the number of processors that the
    user's container has.
    """
    steps: Body = {
        kind: {name: amount for name, amount in amounts.items() if name in _ORDINARY} for kind, amounts in own.items()
    }
    least, at_least = defaults.wire(), 0
    try:
        for kind in ("requests", "limits"):
            at_least = max(at_least, least.get(kind, {}).get("memory", 0), key=to_bytes)
            if "memory" in steps.get(kind, {}):
                at_least = steps[kind]["memory"] = max(steps[kind]["memory"], at_least, key=to_bytes)
    except ValueError as error:
        raise InvalidSpecError(f"spec.resources: memory {error}") from error
    return steps
