"""The steps of the demo, from an empty machine to trained and served models. Each step prints its title first."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from cluster import lifecycle, object_store
from cluster.kubectl import kubectl, read
from cluster.model import Cluster, ClusterError, Kind
from cluster.object_store import ObjectStore
from demo.client import Tally
from demo.data import tables
from demo.images import ROOT, build_images, provide_images
from demo.install import (
    BUCKET,
    DATA_BUCKET,
    JOBS_NAMESPACE,
    OPERATOR_NAMESPACE,
    RELEASE,
    STORE_SECRET,
    give_store_access,
    install_chart,
    make_namespaces,
)
from demo.serving import ServingDemo
from demo.view import Json, follow

TRAININGS = [
    ROOT / f"examples/{name}.yaml"
    for name in ("diabetes-regression", "breast-cancer-classification", "retail-forecast")
]
TRAINING_SECONDS = 900


class Steps:
    """Prints the title of each step, with the time since the start."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()

    def begin(self, title: str) -> None:
        """Start a step."""
        self._console.print(f"\n[bold]== {title}[/bold] [dim]({self.seconds:.0f} s)[/dim]", soft_wrap=True)

    def say(self, text: str) -> None:
        """Print one message about the step."""
        self._console.print(f"   {escape(text)}", soft_wrap=True)

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self._started


def run(console: Console, *, name: str, kind: Kind | None) -> None:
    """Run the demo. Raises :class:`ClusterError` with one message if a step or a training fails."""
    steps = Steps(console)
    steps.begin("a Kubernetes cluster")
    cluster = lifecycle.up(name, kind, steps.say, lambda: list(build_images(steps.say).values()))
    steps.begin("the images")
    source = provide_images(cluster, steps.say)
    steps.begin("an object store with the data")
    store = object_store.deploy(cluster, lifecycle.backend(cluster.kind), steps.say)
    fill(store, steps)
    steps.begin("the operator, installed with its Helm chart")
    make_namespaces(cluster)
    give_store_access(cluster, store.credentials())
    install_chart(cluster, endpoint=store.endpoint_in_cluster, source=source)
    steps.say(
        f"the operator is ready in namespace {OPERATOR_NAMESPACE}; jobs are created in namespace {JOBS_NAMESPACE}"
    )
    steps.begin("the trainings of examples/")
    serving_demo = ServingDemo(cluster, store, steps.say)
    serving_demo.clear()
    # The jobs of an earlier run are deleted, so that this run trains again. Their models are kept.
    files = [f"--filename={path}" for path in TRAININGS]
    kubectl(cluster, "delete", "-n", JOBS_NAMESPACE, *files, "--ignore-not-found")
    for line in kubectl(cluster, "apply", "-n", JOBS_NAMESPACE, *files).splitlines():
        steps.say(line)
    console.print()
    names = {path.stem for path in TRAININGS}
    rows = follow(lambda: _jobs(cluster, names), console, timeout_seconds=TRAINING_SECONDS)
    failed = [f"{row.name} is {row.phase}: {row.doing}" for row in rows if row.phase != "Succeeded"]
    if failed:
        raise ClusterError(f"{len(failed)} of {len(rows)} trainings did not succeed: {'; '.join(failed)}")
    tally = report(serving_demo, steps)
    show_result(cluster, store, steps)
    if tally.failed:
        raise ClusterError(f"{tally}; the first: {tally.failures[0]}")


def report(serving_demo: ServingDemo, steps: Steps) -> Tally:
    """Serve the model through several changes, and return the results of a client."""
    steps.begin("a ModelDeployment serves the model, and a client sends predictions continuously")
    with serving_demo.serve() as client:
        serving_demo.start_schedule()
        steps.begin("a bad training: the gates reject its version")
        serving_demo.refuse()
        steps.begin("a schedule that starts a run each minute: its version takes over")
        serving_demo.follow_schedule(client)
        steps.begin("a stored model changes by one byte: its version is rejected automatically")
        serving_demo.survive_a_bad_artifact()
        steps.begin("a rollback by hand")
        serving_demo.go_back(client)
    steps.begin("the results of the client")
    steps.say(str(client.tally))
    return client.tally


def fill(store: ObjectStore, steps: Steps) -> None:
    """Create the buckets and upload the input tables. Raises :class:`ClusterError`."""
    for bucket in (DATA_BUCKET, BUCKET):
        store.make_bucket(bucket)
    for key, text, origin in tables():
        address = store.upload(text.encode(), DATA_BUCKET, key)
        steps.say(f"{address}  {len(text) / 1024:.0f} KiB  ({origin})")


def show_result(cluster: Cluster, store: ObjectStore, steps: Steps) -> None:
    """Print the objects, the address of the models, and the next commands."""
    steps.begin("the objects in the cluster")
    kinds = "tj,tsched,mv,md"
    print(f"$ kubectl get {kinds} -n {JOBS_NAMESPACE}", flush=True)
    print(kubectl(cluster, "get", kinds, "-n", JOBS_NAMESPACE), flush=True)
    count = store.client().list_objects_v2(Bucket=BUCKET)["KeyCount"]
    print(f"s3://{BUCKET}: {count} objects")
    print(f"""
Next commands:
  export KUBECONFIG={cluster.kubeconfig}
  kubectl describe md diabetes -n {JOBS_NAMESPACE}
  kubectl describe tj diabetes-regression -n {JOBS_NAMESPACE}
  kubectl logs -n {JOBS_NAMESPACE} -l trainyard.dev/trainingjob=retail-forecast --tail=-1
  kubectl logs -n {OPERATOR_NAMESPACE} deployment/{RELEASE}
To read the models, use an S3 client with {store.endpoint_local} and the keys in the Secret {STORE_SECRET} of
namespace {JOBS_NAMESPACE}. `make demo` trains again, `make demo-down` removes everything.
This took {steps.seconds:.0f} s.""")


def _jobs(cluster: Cluster, names: set[str]) -> Sequence[Json]:
    found: list[Json] = read(cluster, "trainingjobs", namespace=JOBS_NAMESPACE)["items"]
    return [job for job in found if job["metadata"]["name"] in names]
