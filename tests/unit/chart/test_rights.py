"""The permissions that the chart grants: minimal, in the watched namespaces, and not shared by two releases."""

from pathlib import Path

import pytest
import yaml

from tests.unit.chart.rendered import CHART, KUBE_VERSION, config_of, helm_run, of_kind, render
from trainyard_api.kinds import KINDS


@pytest.mark.parametrize("values", [(), ('watchNamespaces=["a", "b"]',)], ids=["cluster", "namespaces"])
def test_permissions_are_minimal(helm: Path, values: tuple[str, ...]) -> None:
    objects = render(helm, *values)
    roles = of_kind(objects, "Role") + of_kind(objects, "ClusterRole")
    for role in roles:
        for rule in role["rules"]:
            words = {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
            assert "*" not in words, role["metadata"]["name"]
    secrets = [(role, rule) for role in roles for rule in role["rules"] if "secrets" in rule["resources"]]
    for role, rule in secrets:
        assert (role["kind"], role["metadata"]["namespace"]) == ("Role", "ops")
        assert rule["verbs"] == ["create"] or rule["resourceNames"] == ["trainyard-tls"]
    leases = [rule for role in roles for rule in role["rules"] if "leases" in rule["resources"]]
    for rule in leases:
        assert rule["verbs"] == ["create"] or rule["resourceNames"] in (["trainyard"], ["trainyard-leader"])
    names = {"trainyard", "ops:trainyard"}
    own = [rule for role in roles if role["metadata"]["name"] in names for rule in role["rules"]]
    kinds = {kind.plural for kind in KINDS}
    for rule in [rule for rule in own if kinds & set(rule["resources"])]:
        assert "update" not in rule["verbs"], "the operator writes one annotation and the status, and no spec"
    deletes = {name for rule in own if "delete" in rule["verbs"] for name in rule["resources"]} & kinds
    assert deletes == {"trainingjobs", "modelversions", "predictionjobs"}, "retention deletes these"
    creates = {name for rule in own if "create" in rule["verbs"] for name in rule["resources"]} & kinds
    assert creates == {"trainingjobs", "modelversions"}, "schedules create jobs, and trainings create versions"


def test_users_can_read_all_kinds_and_write_all_but_versions(helm: Path) -> None:
    roles = {role["metadata"]["name"]: role["rules"] for role in of_kind(render(helm), "ClusterRole")}
    plurals = {kind.plural for kind in KINDS}
    [view] = roles["ops:trainyard:view"]
    assert (set(view["resources"]), view["verbs"]) == (plurals, ["get", "list", "watch"])
    own, versions = roles["ops:trainyard:edit"]
    assert set(own["resources"]) == plurals - {"modelversions"}
    assert set(own["verbs"]) == {"create", "update", "patch", "delete", "deletecollection"}
    assert (versions["resources"], versions["verbs"]) == (["modelversions"], ["delete", "deletecollection"])


def test_overruling_gates_is_a_separate_permission(helm: Path) -> None:
    for switches in ((), ("rbac.aggregate=false",)):
        [role] = [
            role
            for role in of_kind(render(helm, *switches), "ClusterRole")
            if role["metadata"]["name"] == "ops:trainyard:overrule"
        ]
        assert not [label for label in role["metadata"]["labels"] if "aggregate" in label]
        [rule] = role["rules"]
        assert (rule["resources"], rule["verbs"]) == (["modelversions"], ["get", "list", "watch", "patch"])
    names = ("ops:trainyard", "ops:trainyard:overrule")  # the role of the operator, and this one
    others = [role for role in of_kind(render(helm), "ClusterRole") if role["metadata"]["name"] not in names]
    assert len(others) == 2
    for rule in [rule for role in others for rule in role["rules"] if "modelversions" in rule["resources"]]:
        assert not {"update", "patch"} & set(rule["verbs"])


def test_permissions_are_limited_to_the_watched_namespaces(helm: Path) -> None:
    objects = render(helm, 'watchNamespaces=["a", "b"]')
    [cluster_wide] = [role for role in of_kind(objects, "ClusterRole") if role["metadata"]["name"] == "ops:trainyard"]
    assert [rule["resources"] for rule in cluster_wide["rules"]] == [["tokenreviews"]]
    namespaces = [role["metadata"]["namespace"] for role in of_kind(objects, "Role")]
    assert sorted(namespaces) == ["a", "b", "ops", "ops"]


CLUSTER_SCOPED = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}
TENANT = ("crds.install=false", "rbac.clusterScoped=false", 'watchNamespaces=["a", "b"]')


def test_a_release_of_a_tenant_has_no_cluster_scoped_objects(helm: Path) -> None:
    objects = render(helm, *TENANT)
    assert not [each for each in objects if each["kind"] in CLUSTER_SCOPED]
    assert {each["metadata"]["namespace"] for each in objects} == {"a", "b", "ops"}
    assert not [
        rule for role in of_kind(objects, "Role") for rule in role["rules"] if "tokenreviews" in rule["resources"]
    ]
    assert config_of(objects).progress.tokens == "Keys"
    assert config_of(render(helm)).progress.tokens == "Review"
    overrule = [role for role in of_kind(objects, "Role") if role["metadata"]["name"] == "trainyard-overrule"]
    assert [role["metadata"]["namespace"] for role in overrule] == ["a", "b"]
    assert all("patch" in rule["verbs"] for role in overrule for rule in role["rules"])


def test_releases_of_the_same_name_share_no_cluster_scoped_objects(helm: Path) -> None:
    names = []
    for namespace in ("ops", "team"):
        arguments = ("template", "trainyard", str(CHART), "--namespace", namespace, "--kube-version", KUBE_VERSION)
        objects = [each for each in yaml.safe_load_all(helm_run(helm, *arguments).stdout) if each]
        names.append({(each["kind"], each["metadata"]["name"]) for each in objects if each["kind"] in CLUSTER_SCOPED})
    shared = {kind for kind, _ in names[0] & names[1]}
    assert shared == {"CustomResourceDefinition"}, "the definitions are shared by all releases"
    assert len(names[0]) == len(names[1]) > len(KINDS)


def test_permissions_are_bound_to_the_named_account(helm: Path) -> None:
    objects = render(helm, 'serviceAccount={"create": false, "name": "robot"}')
    bindings = of_kind(objects, "RoleBinding") + of_kind(objects, "ClusterRoleBinding")
    assert {subject["name"] for each in bindings for subject in each["subjects"]} == {"robot"}
