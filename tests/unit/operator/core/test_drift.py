"""Which differences of a child count as an edit: only those in requested fields, and not other spellings."""

from typing import Any

import pytest

from trainyard_operator.core.serving.drift import difference

WANTED = {
    "replicas": 2,
    "containers": [{"name": "server", "image": "s:1", "resources": {"limits": {"cpu": "1000m"}}, "args": []}],
    "volumes": [{"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1024Mi"}}],
}


def actual(**changes: Any) -> dict[str, Any]:
    container = {
        "name": "server",
        "image": "s:1",
        "resources": {"limits": {"cpu": "1"}},
        "imagePullPolicy": "IfNotPresent",
    }
    volumes = [{"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}]
    return {"replicas": 2, "containers": [container], "volumes": volumes, "progressDeadlineSeconds": 600, **changes}


def test_another_spelling_by_the_api_server_is_not_an_edit() -> None:
    assert difference(WANTED, actual()) == ""


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"replicas": 3}, "spec.replicas is 3 instead of 2"),
        (
            {"containers": [{"name": "server", "image": "s:2"}]},
            "spec.containers[server].image is 's:2' instead of 's:1'",
        ),
        ({"containers": [{"name": "other"}]}, "spec.containers[server].name is None instead of 'server'"),
        ({"volumes": []}, "spec.volumes[shared-memory].name is None instead of 'shared-memory'"),
    ],
)
def test_an_edit_is_reported_with_its_field(changes: dict[str, Any], expected: str) -> None:
    assert difference(WANTED, actual(**changes)) == expected


def test_an_added_field_or_container_is_not_an_edit() -> None:
    more = [{"name": "proxy", "image": "p:1"}, *actual()["containers"]]
    assert difference(WANTED, actual(containers=more, paused=False)) == ""
