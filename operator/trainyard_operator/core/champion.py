"""Champion of a model. Trainers and gates use the same rule."""

from collections.abc import Iterable
from dataclasses import dataclass

from trainyard_operator.core.naming import has_its_name, version_number
from trainyard_operator.core.objects import ModelDeploymentView, ModelVersionView


@dataclass(frozen=True)
class ModelObjects:
    """Input of the rule: the versions and the deployments of one model in one namespace, in any order."""

    versions: tuple[ModelVersionView, ...] = ()
    deployments: tuple[ModelDeploymentView, ...] = ()


@dataclass(frozen=True)
class Chosen:
    """The champion.

    Attributes
    ----------
    digest
        SHA-256 of its manifest, hexadecimal; empty if unknown.
    view
        Its ModelVersion. ``None`` if it does not exist, or if the number belongs to another model by now.
    """

    version: int
    digest: str
    view: ModelVersionView | None


def choose(model_objects: ModelObjects, *, judged: int | None = None) -> Chosen | None:
    """Return the champion, ``None`` if there is no version to compare with.

    It is the active version of the model's ModelDeployment, or of the oldest one if there are several. If none serves,
    it is the newest Validated version.

    Parameters
    ----------
    model_objects
        The versions and deployments of the model.
    judged
        The number of the version to judge. It is never its own champion. If no version serves, only earlier versions
        count. ``None`` for a training without a number.
    """
    peers = {version_number(view): view for view in model_objects.versions if not view.deleting and has_its_name(view)}
    for deployment in sorted(_live(model_objects.deployments), key=lambda each: (each.created, each.name)):
        serving, digest = deployment.status.active_version, bare(deployment.status.active_digest)
        if serving is None or serving == judged:
            continue
        view = peers.get(serving)
        own = digest_of(view)
        return Chosen(serving, digest or own, view if digest in ("", own) else None)
    earlier = [
        number
        for number, view in peers.items()
        if view.status.phase == "Validated" and (judged is None or number < judged)
    ]
    newest = max(earlier, default=None)
    return None if newest is None else Chosen(newest, digest_of(peers[newest]), peers[newest])


def named(model_objects: ModelObjects, version: int, digest: str) -> Chosen:
    """Return the named version as the champion, whatever serves now."""
    views = (view for view in model_objects.versions if not view.deleting and has_its_name(view))
    view = next((v for v in views if version_number(v) == version and digest_of(v) == bare(digest)), None)
    return Chosen(version, bare(digest), view)


def is_known(model_objects: ModelObjects) -> bool:
    """Return whether the rule can be applied. It cannot if the status of a deployment is unreadable."""
    return not any(deployment.unreadable for deployment in _live(model_objects.deployments))


def digest_of(view: ModelVersionView | None) -> str:
    """Return the digest of a version's manifest; empty if the object has none."""
    artifact = view.spec.get("artifact") if view is not None else None
    digest = artifact.get("manifestSha256") if isinstance(artifact, dict) else None
    return bare(digest) if isinstance(digest, str) else ""


def bare(digest: str | None) -> str:
    """Return a digest without the prefix ``sha256:``."""
    return (digest or "").removeprefix("sha256:")


def _live(deployments: Iterable[ModelDeploymentView]) -> list[ModelDeploymentView]:
    return [deployment for deployment in deployments if not deployment.deleting]
