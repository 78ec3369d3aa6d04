"""What is known of the cluster: TrainingJobs and their Jobs, never older than what was seen before.

Watch events, lists and the answers to our own writes all come in through :meth:`Store.apply`, and the newest
resourceVersion wins. So a decision never rests on a state from before our own last write.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from trainyard_api import meta
from trainyard_operator.core.observed import JobView, TrainingJobView
from trainyard_operator.kube import views
from trainyard_operator.kube.port import Body
from trainyard_operator.runtime.keys import Key

Kind = Literal["TrainingJob", "Job"]


class Store:
    """The objects, by key. Holds JSON and reads it into views when a decision needs it.

    The deleted are remembered until the next list: the answer to a write can arrive after the news of the deletion.
    """

    def __init__(self) -> None:
        self._bodies: dict[Kind, dict[Key, Body]] = {"TrainingJob": {}, "Job": {}}
        self._views: dict[Key, TrainingJobView] = {}
        self._children: dict[str, dict[str, JobView]] = {}
        self._buried: dict[Kind, dict[Key, int]] = {"TrainingJob": {}, "Job": {}}

    def __len__(self) -> int:
        return len(self._bodies["TrainingJob"])

    def apply(self, kind: Kind, body: Mapping[str, Any], *, deleted: bool = False) -> Key | None:
        """Take in a state of an object. Return the TrainingJob it concerns, or ``None`` if it was old news."""
        metadata = body["metadata"]
        key = Key(metadata["namespace"], metadata["name"])
        known = self._bodies[kind].get(key)
        version = int(metadata["resourceVersion"])
        if version <= self._buried[kind].get(key, 0) or (known is not None and not _is_news(version, known, deleted)):
            return None
        if kind == "Job" and not _is_child(body):
            if known is None:
                return None
            body, deleted = known, True  # its labels were taken away: no child any more
        if deleted:
            self._buried[kind][key] = version
        if known is not None and (deleted or known["metadata"]["uid"] != metadata["uid"]):
            self._remove(kind, key)
        if not deleted:
            self._insert(kind, key, _slim(body))
        return key if kind == "TrainingJob" else _owner_key(body)

    def training_job(self, key: Key) -> TrainingJobView | None:
        """Return a TrainingJob. Raises :class:`pydantic.ValidationError` if its stored status cannot be read."""
        view = self._views.get(key)
        if view is None and (body := self._bodies["TrainingJob"].get(key)) is not None:
            view = self._views[key] = views.training_job(body)
        return view

    def stored_status(self, key: Key) -> dict[str, Any]:
        """Return the status as the API server has it, to patch against."""
        body = self._bodies["TrainingJob"].get(key) or {}
        return body.get("status") or {}

    def is_new(self, key: Key) -> bool:
        """Tell whether the operator has not yet written anything about a TrainingJob."""
        body = self._bodies["TrainingJob"].get(key)
        return body is not None and "phase" not in (body.get("status") or {})

    def children(self, uid: str) -> tuple[JobView, ...]:
        """Return the Jobs of a TrainingJob."""
        return tuple(self._children.get(uid, {}).values())

    def names(self, kind: Kind) -> dict[Key, str]:
        """Return every object's resourceVersion, for a comparison with a list."""
        return {key: body["metadata"]["resourceVersion"] for key, body in self._bodies[kind].items()}

    def prune(self, kind: Kind, before: Mapping[Key, str], listed: Iterable[Key]) -> set[Key]:
        """Remove what a list no longer had and return the TrainingJobs concerned.

        A watch that breaks can lose a deletion. ``before`` is :meth:`names` from before the list began: an object that
        was known then, has not changed since and is not listed is gone.
        """
        self._buried[kind].clear()  # an answer that was under way at a deletion has long arrived
        concerned: set[Key] = set()
        for key in before.keys() - set(listed):
            body = self._bodies[kind].get(key)
            if body is not None and body["metadata"]["resourceVersion"] == before[key]:
                self._remove(kind, key)
                concerned.add(key if kind == "TrainingJob" else _owner_key(body))
        return concerned

    def forget(self, key: Key) -> None:
        """Remove a TrainingJob that the API server says is gone."""
        if key in self._bodies["TrainingJob"]:
            self._remove("TrainingJob", key)

    def _insert(self, kind: Kind, key: Key, body: Body) -> None:
        self._bodies[kind][key] = body
        if kind == "TrainingJob":
            self._views.pop(key, None)
        else:
            self._children.setdefault(_owner_uid(body), {})[key.name] = views.job(body)

    def _remove(self, kind: Kind, key: Key) -> None:
        body = self._bodies[kind].pop(key)
        if kind == "TrainingJob":
            self._views.pop(key, None)
            return
        uid = _owner_uid(body)
        siblings = self._children.get(uid, {})
        siblings.pop(key.name, None)
        if not siblings:
            self._children.pop(uid, None)


def _is_news(version: int, known: Body, deleted: bool) -> bool:  # noqa: FBT001
    """Compare resourceVersions as numbers, which Kubernetes allows since 1.35 and etcd has always made them.

    They count every write of a resource, so they also tell an object from an earlier one of the same name.
    """
    old = int(known["metadata"]["resourceVersion"])
    return version > old or (deleted and version == old)


def _is_child(body: Mapping[str, Any]) -> bool:
    labels = body["metadata"].get("labels") or {}
    named = meta.UID_LABEL in labels and meta.JOB_LABEL in labels
    return named and views.attempt_of(body["metadata"]["name"]) > 0


def _slim(body: Mapping[str, Any]) -> Body:
    """Drop what no decision reads and what fills memory."""
    metadata = {key: value for key, value in body["metadata"].items() if key not in ("managedFields", "annotations")}
    slim = {**body, "metadata": metadata}
    if body.get("kind") == "Job" or "template" in (body.get("spec") or {}):
        containers = [{"image": c.get("image", "")} for c in body["spec"]["template"]["spec"]["containers"]]
        slim["spec"] = {"template": {"spec": {"containers": containers}}}
    return slim


def _owner_uid(body: Mapping[str, Any]) -> str:
    return str((body["metadata"].get("labels") or {}).get(meta.UID_LABEL, ""))


def _owner_key(body: Mapping[str, Any]) -> Key:
    return Key(body["metadata"]["namespace"], body["metadata"]["labels"][meta.JOB_LABEL])
