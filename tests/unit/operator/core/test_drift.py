"""What counts as an edit of a child: only what was asked for, and only what the API server did not write otherwise."""

from typing import Any

import pytest

from trainyard_operator.core.serving.drift import difference

WANTED = {
    "replicas": 2,
    "containers": [{"name": "server", "image": "s:1", "resources": {"limits": {"cpu": "1000m"}}, "args": []}],
    "volumes": [{"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1024Mi"}}],
}


def there(**changes: Any) -> dict[str, Any]:
    container = {
        "name": "server",
        "image": "s:1",
        "resources": {"limits": {"cpu": "1"}},
        "imagePullPolicy": "IfNotPresent",
    }
    volumes = [{"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}]
    return {"replicas": 2, "containers": [container], "volumes": volumes, "progressDeadlineSeconds": 600, **changes}


def test_what_the_api_server_writes_otherwise_is_no_edit() -> None:
    assert difference(WANTED, there()) == ""


@pytest.mark.parametrize(
    ("changes", "told"),
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
def test_an_edit_is_told_by_its_field(changes: dict[str, Any], told: str) -> None:
    assert difference(WANTED, there(**changes)) == told


def test_what_somebody_added_beside_is_no_edit() -> None:
    more = [{"name": "proxy", "image": "p:1"}, *there()["containers"]]
    assert difference(WANTED, there(containers=more, paused=False)) == ""
