"""The chart as helm renders it: the operator accepts the configuration, and invalid values are refused."""

import json
from pathlib import Path

import pytest

from tests.unit.chart.rendered import CHART, KUBE_VERSION, Json, config_of, helm_run, of_kind, pod_of, render
from trainyard_api.kinds import KINDS
from trainyard_api.pod import PodOptions
from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.shell.config import load_config

ROOT = CHART.parents[1]


@pytest.mark.parametrize("value", ["argocd.enabled=false", "argocd.enabled=true"])
def test_lint_reports_no_problem(helm: Path, value: str) -> None:
    done = helm_run(helm, "lint", "--strict", str(CHART), "--kube-version", KUBE_VERSION, "--set-json", value)
    assert done.returncode == 0, done.stdout


def test_scripts_for_argo_cd_are_optional(helm: Path) -> None:
    """tests/unit/argocd tests the scripts, and tests/integration/argocd tests them in Argo CD."""
    assert [each["metadata"]["name"] for each in of_kind(render(helm), "ConfigMap")] == ["trainyard"]
    names = [each["metadata"]["name"] for each in of_kind(render(helm, "argocd.enabled=true"), "ConfigMap")]
    assert sorted(names) == ["trainyard", "trainyard-argocd"]


def test_defaults_of_the_chart_are_those_of_the_operator(helm: Path) -> None:
    """The defaults of the chart and of the operator must be the same."""
    config, default = config_of(render(helm)), OperatorConfig()
    assert config.release == "ops/trainyard"
    assert config.model_dump(exclude={"namespace", "images", "progress"}) == default.model_dump(
        exclude={"namespace", "images", "progress"}
    )
    assert config.namespace == "ops"
    assert config.images.trainer == "trainyard-trainer:0.1.0"
    assert config.images.by_framework == {"Torch": "trainyard-trainer-torch:0.1.0"}
    assert config.images.server == "trainyard-server:0.1.0"
    assert config.progress.url == "https://trainyard.ops.svc:8443"
    assert config.progress == default.progress.model_copy(update={"url": config.progress.url})


def test_every_value_reaches_the_operator(helm: Path) -> None:
    config = config_of(
        render(
            helm,
            'storage={"uri": "s3://models/", "endpoint": "http://s3:7070", "region": "eu", "secretName": "keys"}',
            'trainer={"image": {"repository": "r.example/t", "tag": "7"}, "imageByFramework": {"Torch": "t:1"}}',
            'trainer.resources={"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "3Gi"}}',
            'server={"image": {"repository": "r.example/s", "tag": "8", "pullPolicy": "Always"}, "drainSeconds": 9}',
            "server.graceSeconds=30",
            "server.maxConcurrentUpdates=1000000",
            'server.resources.limits={"memory": "4Gi"}',
            'progress={"url": "https://p.example:1", "bind": "$(POD_IP)", "port": 9443, "tlsSecret": "own"}',
            "progress.reportsPerMinute=1000000",
            "health.port=9090",
            'admission={"maxConcurrentJobs": 4000000, "maxConcurrentJobsPerNamespace": 2}',
            'admission.namespaces={"a": 0, "b": 5}',
            'client={"qps": 5000000, "burst": 9000000, "connections": 4}',
            "workers=3",
            "resyncSeconds=2000000",
            "leaderElection.leaseSeconds=30",
            'accelerators={"amd.com/gpu": {"nodeSelector": {"gpu": "mi300"}, "tolerations": []}}',
            'watchNamespaces=["a", "b"]',
            'retention={"validated": 1000000, "rejected": 0, "maxAgeDays": 90}',
            'namespaceDefaults={"a": {"retention": {"rejected": 0}}}',
        )
    )
    assert config.retention.model_dump() == {"validated": 1_000_000, "rejected": 0, "max_age_days": 90}
    assert config.in_namespace("a").retention.model_dump(exclude_unset=True) == {"rejected": 0}
    assert config.storage.model_dump() == {
        "uri": "s3://models/",
        "endpoint": "http://s3:7070",
        "region": "eu",
        "secret_name": "keys",
    }
    assert config.images.trainer == "r.example/t:7"
    assert config.images.by_framework == {"Torch": "t:1"}
    own = config_of(
        render(helm, 'trainer.image={"repository": "r.example/t"}', 'trainer.imageByFramework={"Script": "s:1"}')
    )
    assert own.images.by_framework == {"Torch": "r.example/t-torch:0.1.0", "Script": "s:1"}
    assert config.resources.wire()["limits"] == {"memory": "3Gi", "ephemeral-storage": "20Gi"}
    assert (config.images.server, config.serving.pull_policy) == ("r.example/s:8", "Always")
    assert (config.serving.drain_seconds, config.serving.grace_seconds) == (9, 30)
    assert config.serving.max_concurrent_updates == 1000000
    assert config.serving.resources.wire()["limits"] == {"memory": "4Gi"}
    assert config.accelerators["amd.com/gpu"].model_dump() == {"node_selector": {"gpu": "mi300"}, "tolerations": ()}
    assert "nvidia.com/gpu" in config.accelerators
    assert config.progress.model_dump() == {
        "url": "https://p.example:1",
        "bind": "$(POD_IP)",
        "port": 9443,
        "tls_secret": "own",
        "reports_per_minute": 1_000_000,
        "tokens": "Review",
    }
    assert config.leader_election.lease_seconds == 30
    assert config.admission.max_concurrent_jobs == 4_000_000
    assert [config.admission.for_namespace(name) for name in "abc"] == [0, 5, 2]
    assert (config.client.qps, config.client.burst, config.client.connections) == (5_000_000, 9_000_000, 4)
    assert (config.workers, config.resync_seconds, config.health.port) == (3, 2_000_000, 9090)
    assert config.namespaces == ("a", "b")


def test_pod_settings_reach_the_operator(helm: Path) -> None:
    given: Json = {
        "nodeSelector": {"pool": "batch"},
        "tolerations": [{"key": "batch", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
        "serviceAccountName": "models",
        "imagePullSecrets": [{"name": "registry"}],
        "env": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        "labels": {"cost": "ml"},
        "annotations": {"note": "a"},
        "podLabels": {"mesh": "off"},
        "podAnnotations": {"sidecar.istio.io/inject": "false"},
        "priorityClassName": "batch",
        "runtimeClassName": "nvidia",
        "volumes": [{"name": "ca", "configMap": {"name": "company-ca"}}],
        "volumeMounts": [{"name": "ca", "mountPath": "/etc/company", "readOnly": True}],
        "sharedMemory": "1Gi",
    }
    for role in ("trainer", "server"):
        config = config_of(
            render(
                helm,
                f"{role}={json.dumps({**given, 'podSecurityContext': {'runAsUser': None, 'fsGroup': 7}})}",
                'commonLabels={"team": "platform", "cost": "none"}',
                f"namespaceDefaults={json.dumps({'a': {role: given}})}",
            )
        )
        found = getattr(config, role).wire()
        assert found.pop("labels") == {"team": "platform", "cost": "ml"}, (
            "the labels of the role override the common ones"
        )
        context = found.pop("podSecurityContext")
        assert "runAsUser" not in context, "null removes a default: OpenShift chooses the user"
        assert (context["fsGroup"], context["runAsNonRoot"]) == (7, True)
        assert found.pop("securityContext")["readOnlyRootFilesystem"] is True
        assert found == {key: value for key, value in given.items() if key != "labels"}
        assert getattr(config.in_namespace("a"), role).wire() == given
        assert set(given) == {field.alias for field in PodOptions.model_fields.values()}, "a field without a value"


def test_unknown_pod_options_are_refused(helm: Path) -> None:
    for role in ("trainer", "server"):
        wrong = f'{role}={{"nodeSelectors": {{}}}}'
        done = helm_run(helm, "template", "t", str(CHART), "--kube-version", KUBE_VERSION, "--set-json", wrong)
        assert done.returncode != 0
        assert "nodeSelectors" in done.stderr


def test_images_can_come_from_another_registry_or_by_digest(helm: Path) -> None:
    digest = f"sha256:{'a' * 64}"
    objects = render(helm, 'global.imageRegistry="r.example/mirror"', f'server.image.digest="{digest}"')
    config = config_of(objects)
    assert config.images.trainer == "r.example/mirror/trainyard-trainer:0.1.0"
    assert config.images.by_framework == {"Torch": "r.example/mirror/trainyard-trainer-torch:0.1.0"}
    assert config.images.server == f"r.example/mirror/trainyard-server@{digest}"
    assert pod_of(objects)["containers"][0]["image"] == "r.example/mirror/trainyard-operator:0.1.0"
    [container] = pod_of(render(helm, f'image.digest="{digest}"'))["containers"]
    assert container["image"] == f"trainyard-operator@{digest}"


def test_the_pod_and_the_service_of_the_operator_are_configurable(helm: Path) -> None:
    limits = "apiVersion: v1\nkind: LimitRange\nmetadata: {name: '{{ .Release.Name }}'}"
    objects = render(
        helm,
        'commonLabels={"team": "platform"}',
        'podSecurityContext={"runAsUser": null}',
        'extraVolumes=[{"name": "ca", "configMap": {"name": "ca"}}]',
        'extraVolumeMounts=[{"name": "ca", "mountPath": "/etc/ca"}]',
        'service={"annotations": {"a": "b"}, "ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv6", "IPv4"]}',
        'logLevel="debug"',
        'serviceMonitor={"enabled": true, "labels": {"release": "prometheus"}, "interval": "10s"}',
        f"extraObjects={json.dumps([{'apiVersion': 'v1', 'kind': 'Secret', 'metadata': {'name': 'more'}}, limits])}",
    )
    for each in objects:
        if each["kind"] not in {"CustomResourceDefinition", "Secret", "LimitRange"}:
            assert each["metadata"]["labels"]["team"] == "platform", each["kind"]
    pod = pod_of(objects)
    assert "runAsUser" not in pod["securityContext"]
    assert {"name": "ca", "mountPath": "/etc/ca"} in pod["containers"][0]["volumeMounts"]
    assert {"name": "ca", "configMap": {"name": "ca"}} in pod["volumes"]
    [service] = of_kind(objects, "Service")
    assert service["metadata"]["annotations"] == {"a": "b"}
    assert (service["spec"]["ipFamilyPolicy"], service["spec"]["ipFamilies"]) == ("PreferDualStack", ["IPv6", "IPv4"])
    assert config_of(objects).log_level == "debug"
    [monitor] = of_kind(objects, "ServiceMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"] == [{"port": "metrics", "interval": "10s", "honorLabels": True}]
    assert "metrics" in [port["name"] for port in service["spec"]["ports"]]
    assert [each["metadata"]["name"] for each in (*of_kind(objects, "Secret"), *of_kind(objects, "LimitRange"))] == [
        "more",
        "trainyard",
    ]


def test_network_policies_allow_only_needed_traffic(helm: Path) -> None:
    assert not of_kind(render(helm), "NetworkPolicy")
    objects = render(helm, "networkPolicy.enabled=true", 'watchNamespaces=["a"]')
    policies = {
        (each["metadata"]["namespace"], each["metadata"]["name"]): each["spec"]
        for each in of_kind(objects, "NetworkPolicy")
    }
    assert set(policies) == {("ops", "trainyard"), ("a", "trainyard-trainer"), ("a", "trainyard-server")}
    own = policies["ops", "trainyard"]
    labels = of_kind(objects, "Deployment")[0]["spec"]["template"]["metadata"]["labels"]
    assert own["podSelector"]["matchLabels"].items() <= labels.items()
    [rule] = own["ingress"]
    assert sorted(port["port"] for port in rule["ports"]) == [8080, 8443]
    assert policies["a", "trainyard-trainer"]["ingress"] == []
    [rule] = policies["a", "trainyard-server"]["ingress"]
    assert rule["ports"] == [{"port": "http", "protocol": "TCP"}]


def test_replicas_are_updated_and_drained_one_at_a_time(helm: Path) -> None:
    [deployment] = of_kind(render(helm), "Deployment")
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
    }
    [other] = of_kind(render(helm, 'updateStrategy={"type": "Recreate"}'), "Deployment")
    assert other["spec"]["strategy"] == {"type": "Recreate"}
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    [budget] = of_kind(render(helm), "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
    [spread] = pod_of(render(helm))["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "ScheduleAnyway")
    assert spread["labelSelector"]["matchLabels"].items() <= labels.items()
    assert not of_kind(render(helm, "replicas=1"), "PodDisruptionBudget")
    assert not of_kind(render(helm, "podDisruptionBudget.enabled=false"), "PodDisruptionBudget")
    own = {"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
    assert pod_of(render(helm, f"topologySpreadConstraints={json.dumps([own])}"))["topologySpreadConstraints"] == [own]


def test_the_environment_names_the_pod(helm: Path) -> None:
    [container] = pod_of(render(helm))["containers"]
    fields = {
        each["name"]: each["valueFrom"]["fieldRef"]["fieldPath"] for each in container["env"] if "valueFrom" in each
    }
    assert fields == {"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace", "POD_IP": "status.podIP"}


@pytest.mark.parametrize(
    ("release", "values", "expected"),
    [
        (
            "trainyard",
            ("serviceAccount.create=false",),
            "serviceAccount.name: set the name of an existing ServiceAccount",
        ),
        ("trainyard", ("rbac.clusterScoped=false",), "rbac.clusterScoped=false needs watchNamespaces"),
        ("7", ('nameOverride="7"',), "is not a valid name of a Service: set fullnameOverride"),
    ],
)
def test_invalid_combinations_are_refused_with_a_message(
    helm: Path, release: str, values: tuple[str, ...], expected: str
) -> None:
    settings = [part for value in values for part in ("--set-json", value)]
    done = helm_run(helm, "template", release, str(CHART), "--kube-version", KUBE_VERSION, *settings)
    assert done.returncode != 0
    assert expected in done.stderr


def test_pod_meets_the_restricted_profile(helm: Path) -> None:
    pod = pod_of(render(helm))
    [container] = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_a_changed_configuration_replaces_the_pod(helm: Path) -> None:
    def checksum(*values: str) -> str:
        [deployment] = of_kind(render(helm, *values), "Deployment")
        return str(deployment["spec"]["template"]["metadata"]["annotations"]["checksum/config"])

    assert checksum() == checksum()
    assert checksum() != checksum("workers=2")


def test_definitions_are_kept_after_an_uninstall(helm: Path) -> None:
    definitions = of_kind(render(helm), "CustomResourceDefinition")
    assert {each["spec"]["names"]["kind"] for each in definitions} == {kind.kind for kind in KINDS}
    for each in definitions:
        assert each["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert not of_kind(render(helm, "crds.install=false"), "CustomResourceDefinition")


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("imagePullPolicy=true", "imagePullPolicy"),
        ('storage.uri="ftp://x"', "/storage/uri"),
        ("workers=0", "/workers"),
        ('argocd.enabled="yes"', "/argocd/enabled"),
        ('progress.url="http://plain"', "/progress/url"),
        ('trainer.imageByFramework={"Pytorch": "x"}', "Pytorch"),
        ('trainer.resources.limits={"memory": "2 GB"}', "/trainer/resources/limits/memory"),
        ('watchNamespaces=["Upper"]', "/watchNamespaces/0"),
        ('fullnameOverride="a.b"', "/fullnameOverride"),
        ('fullnameOverride="7up"', "/fullnameOverride"),
        ('nameOverride="a_b"', "/nameOverride"),
        ("replicas=0", "/replicas"),
        ('updateStrategy={"type": "Rolling"}', "/updateStrategy/type"),
        ("leaderElection.leaseSeconds=1", "/leaderElection/leaseSeconds"),
        ("server.graceSeconds=0", "/server/graceSeconds"),
        ("retention.validated=-1", "/retention/validated"),
        ("retention.keep=1", "keep"),
        ('namespaceDefaults={"a": {"retention": {"rejected": -1}}}', "/namespaceDefaults/a/retention/rejected"),
        ("admission.maxConcurrentJobs=-1", "/admission/maxConcurrentJobs"),
        ('admission.namespaces={"a": "many"}', "/admission/namespaces/a"),
        ('accelerators={"a.b/c": {"toleration": []}}', "/accelerators/a.b~1c"),
        ('accelerators={"a.b/c": {"tolerations": [{"effect": "Never"}]}}', "/accelerators/a.b~1c/tolerations/0/effect"),
    ],
)
def test_an_invalid_value_is_refused_with_its_name(helm: Path, value: str, named: str) -> None:
    done = helm_run(helm, "template", str(CHART), "--kube-version", KUBE_VERSION, "--set-json", value)
    assert done.returncode != 0
    assert named in done.stderr


def test_the_operator_can_listen_on_the_address_of_its_pod(helm: Path, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    objects = render(helm, 'progress.bind="$(POD_IP)"', 'health.bind="$(POD_IP)"')
    file.write_text(of_kind(objects, "ConfigMap")[0]["data"]["config.yaml"])
    config = load_config({"TRAINYARD_CONFIG_FILE": str(file), "POD_IP": "fd00::7"})
    assert (config.progress.bind, config.health.bind) == ("fd00::7", "fd00::7")
