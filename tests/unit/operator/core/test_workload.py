"""The workload port: an attempt that needs more than a Job has the same life cycle."""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pytest

from tests.unit.operator.samples import SPEC, child, job_view, observed, pod, result_text
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_operator.core.batch.planner import BatchPlanner
from trainyard_operator.core.batch.workload import JOB, Children, Launch, Workload
from trainyard_operator.core.objects import Part, ServiceView, WorkloadView
from trainyard_operator.core.plan import Apply, Create, Delete, Kind, Plan
from trainyard_operator.core.training.planner import Training
from trainyard_operator.core.training.state import TrainingState


class Gang:
    """Pods that find each other by name: an Indexed Job, and a headless Service that is deleted with it."""

    kinds: Final[tuple[Kind, ...]] = ("Job", "Service")

    def create(self, launch: Launch) -> tuple[Create, ...]:
        """Create the Service first: the names must resolve before the first pod uses them."""
        metadata = {"name": launch.name, "namespace": launch.namespace, "ownerReferences": [launch.owner]}
        spec = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": dict(launch.labels)}
        service = Create("Service", {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
        pods = {**launch.template, "spec": {**launch.template["spec"], "subdomain": launch.name}}
        return (service, *JOB.create(replace(launch, template=pods, pods=2)))

    def observe(self, children: Children) -> tuple[WorkloadView, ...]:
        """One Job is one gang, together with the Service of the same name."""
        services = {view.name: Part("Service", view.name, view.uid) for view in children("Service")}
        return tuple(
            replace(job, parts=(*job.parts, services[job.name]) if job.name in services else job.parts)
            for job in JOB.observe(children)
        )

    def limit(self, namespace: str, workload: WorkloadView, seconds: int) -> tuple[Apply, ...]:
        """Limit the Job."""
        return JOB.limit(namespace, workload, seconds)


class GangTraining(Training):
    """A TrainingJob whose attempts are gangs."""

    workload: Final[Workload] = Gang()


@dataclass
class Owned:
    """The children of one owner, as a cluster would store them."""

    known: dict[Kind, list[Any]] = field(default_factory=lambda: defaultdict(list))

    def of(self, kind: Kind) -> tuple[Any, ...]:
        return tuple(self.known[kind])

    def carry_out(self, plan: Plan) -> None:
        """Create and delete what a plan requests."""
        for action in plan.actions:
            match action:
                case Create("Job", body):
                    self.known["Job"].append(child(name=body["metadata"]["name"], uid="uid-job"))
                    self.known["Job"][-1] = replace(
                        self.known["Job"][-1], parts=(Part("Job", body["metadata"]["name"], "uid-job"),)
                    )
                case Create("Service", body):
                    self.known["Service"].append(ServiceView(name=body["metadata"]["name"], uid="uid-service"))
                case Delete(kind, _, uid):
                    self.known[kind] = [view for view in self.known[kind] if view.uid != uid]
                case _:
                    pytest.fail(f"nothing else is done to a gang here: {action}")


PLANNER = BatchPlanner(GangTraining())


def seen(cluster: Owned, status: dict[str, Any] | None = None, **spec: Any) -> TrainingState:
    workloads = GangTraining.workload.observe(cluster.of)
    return observed(job_view(status, spec={**SPEC, **spec}), *workloads, missing=frozenset({"diabetes-1"}))


def test_a_gang_is_created_service_first() -> None:
    service, job = PLANNER.plan(seen(Owned())).actions
    assert isinstance(service, Create)
    assert isinstance(job, Create)
    assert [service.kind, job.kind] == ["Service", "Job"]
    assert job.body["spec"]["completionMode"] == "Indexed"
    assert job.body["spec"]["template"]["spec"]["subdomain"] == service.body["metadata"]["name"]


@pytest.mark.parametrize("stop", [{"cancel": True}, {"suspend": True}])
def test_a_stopped_gang_is_deleted_as_a_whole(stop: dict[str, Any]) -> None:
    cluster = Owned()
    cluster.carry_out(PLANNER.plan(seen(cluster)))
    assert {kind: len(views) for kind, views in cluster.known.items()} == {"Job": 1, "Service": 1}
    first = PLANNER.plan(seen(cluster, **stop)).status
    assert first is not None, "the status says that it stops before anything is deleted"
    cluster.carry_out(PLANNER.plan(seen(cluster, first.wire(), **stop)))
    assert {kind: len(views) for kind, views in cluster.known.items()} == {"Job": 0, "Service": 0}


def test_a_finished_gang_is_kept_and_deleted_as_a_whole() -> None:
    cluster = Owned()
    cluster.carry_out(PLANNER.plan(seen(cluster)))
    finished = {"phase": "Succeeded", "observedGeneration": 1, "completionTime": "2020-01-01T00:00:00Z"}
    jobs = [replace(job, complete=True) for job in cluster.known["Job"]]
    cluster.known["Job"] = jobs
    assert PLANNER.plan(seen(cluster, finished)).actions == ()
    cluster.carry_out(PLANNER.plan(seen(cluster, finished, ttlSecondsAfterFinished=1)))
    assert {kind: len(views) for kind, views in cluster.known.items()} == {"Job": 0, "Service": 0}


def test_the_result_of_a_gang_makes_a_version() -> None:
    cluster = Owned()
    cluster.carry_out(PLANNER.plan(seen(cluster)))
    cluster.known["Job"] = [replace(job, complete=True) for job in cluster.known["Job"]]
    state = replace(seen(cluster), pods={"diabetes-1": (pod(0, termination_message=result_text()),)})
    (version,) = PLANNER.plan(replace(state, versions={"diabetes-v1": None})).actions
    assert isinstance(version, Create)
    assert version.kind == "ModelVersion"


def test_a_training_is_one_job_with_one_or_more_pods() -> None:
    for shards in (1, 3):
        spec = {**SPEC, "framework": "Prophet", "task": "Forecast", "shards": shards, "forecast": {"horizon": 2}}
        spec["data"] = {"uri": "s3://d/a.csv", "target": "y", "time": "t", "series": "s"}
        TrainingJobSpec.model_validate(spec)
        launch = Training().launch(observed(job_view(spec=spec)), TrainingJobSpec.model_validate(spec), 1)
        (action,) = JOB.create(launch)
        assert launch.pods == shards
        assert action.body["spec"].get("completions") == (shards if shards > 1 else None)
