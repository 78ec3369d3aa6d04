"""From nothing to trained and served models, step by step, each said before it is done."""

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
from demo.serving import Story
from demo.view import Json, follow

TRAININGS = [
    ROOT / f"examples/{name}.yaml"
    for name in ("diabetes-regression", "breast-cancer-classification", "retail-forecast")
]
TRAINING_SECONDS = 900


class Steps:
    """Says what begins, with the time since the start."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()

    def begin(self, title: str) -> None:
        """Open a step."""
        self._console.print(f"\n[bold]== {title}[/bold] [dim]({self.seconds:.0f} s)[/dim]", soft_wrap=True)

    def say(self, text: str) -> None:
        """Say one thing about it."""
        self._console.print(f"   {escape(text)}", soft_wrap=True)

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self._started


def run(console: Console, *, name: str, kind: Kind | None) -> None:
    """Run the demo. Raises :class:`ClusterError` with one sentence when a step fails, or a training does."""
    steps = Steps(console)
    steps.begin("a Kubernetes cluster")
    cluster = lifecycle.up(name, kind, steps.say, lambda: list(build_images(steps.say).values()))
    steps.begin("the images")
    source = provide_images(cluster, steps.say)
    steps.begin("an object store with the data")
    store = object_store.deploy(cluster, lifecycle.backend(cluster.kind), steps.say)
    fill(store, steps)
    steps.begin("the operator, by its Helm chart")
    make_namespaces(cluster)
    give_store_access(cluster, store.credentials())
    install_chart(cluster, endpoint=store.endpoint_in_cluster, source=source)
    steps.say(f"ready in namespace {OPERATOR_NAMESPACE}; jobs go to namespace {JOBS_NAMESPACE}")
    steps.begin("the trainings of examples/")
    story = Story(cluster, store, steps.say)
    story.clear()
    # The jobs of an earlier run are taken away, so that this one trains again; their models stay.
    files = [f"--filename={path}" for path in TRAININGS]
    kubectl(cluster, "delete", "-n", JOBS_NAMESPACE, *files, "--ignore-not-found")
    for line in kubectl(cluster, "apply", "-n", JOBS_NAMESPACE, *files).splitlines():
        steps.say(line)
    console.print()
    names = {path.stem for path in TRAININGS}
    lines = follow(lambda: _jobs(cluster, names), console, timeout_seconds=TRAINING_SECONDS)
    failed = [f"{line.name} is {line.phase}: {line.doing}" for line in lines if line.phase != "Succeeded"]
    if failed:
        raise ClusterError(f"{len(failed)} of {len(lines)} trainings did not succeed: {'; '.join(failed)}")
    tally = report(story, steps)
    show_result(cluster, store, steps)
    if tally.failed:
        raise ClusterError(f"{tally}; the first: {tally.failures[0]}")


def report(story: Story, steps: Steps) -> Tally:
    """Serve the model while things happen to it, and return what a client met meanwhile."""
    steps.begin("a ModelDeployment follows the model, and a client predicts all the time")
    with story.serve() as client:
        story.start_schedule()
        steps.begin("a training that learns next to nothing: the gates refuse its version")
        story.refuse()
        steps.begin("a schedule that fires each minute: its version takes over")
        story.follow_schedule(client)
        steps.begin("a stored model changes by one byte: its version is taken back by itself")
        story.survive_a_bad_artifact()
        steps.begin("a rollback by hand")
        story.go_back(client)
    steps.begin("what the client met")
    steps.say(str(client.tally))
    return client.tally


def fill(store: ObjectStore, steps: Steps) -> None:
    """Make the buckets and put the input tables. Raises :class:`ClusterError`."""
    for bucket in (DATA_BUCKET, BUCKET):
        store.make_bucket(bucket)
    for key, text, origin in tables():
        address = store.upload(text.encode(), DATA_BUCKET, key)
        steps.say(f"{address}  {len(text) / 1024:.0f} KiB  ({origin})")


def show_result(cluster: Cluster, store: ObjectStore, steps: Steps) -> None:
    """Print what kubectl shows, where the models lie, and what can be done next."""
    steps.begin("what there is now")
    kinds = "tj,tsched,mv,md"
    print(f"$ kubectl get {kinds} -n {JOBS_NAMESPACE}", flush=True)
    print(kubectl(cluster, "get", kinds, "-n", JOBS_NAMESPACE), flush=True)
    count = store.client().list_objects_v2(Bucket=BUCKET)["KeyCount"]
    print(f"s3://{BUCKET}: {count} objects")
    print(f"""
Look further:
  export KUBECONFIG={cluster.kubeconfig}
  kubectl describe md diabetes -n {JOBS_NAMESPACE}
  kubectl describe tj diabetes-regression -n {JOBS_NAMESPACE}
  kubectl logs -n {JOBS_NAMESPACE} -l trainyard.dev/trainingjob=retail-forecast --tail=-1
  kubectl logs -n {OPERATOR_NAMESPACE} deployment/{RELEASE}
The models: an S3 client at {store.endpoint_local}, keys in the Secret {STORE_SECRET} of namespace {JOBS_NAMESPACE}.
`make demo` trains again, `make demo-down` removes all of it. This took {steps.seconds:.0f} s.""")


def _jobs(cluster: Cluster, names: set[str]) -> Sequence[Json]:
    found: list[Json] = read(cluster, "trainingjobs", namespace=JOBS_NAMESPACE)["items"]
    return [job for job in found if job["metadata"]["name"] in names]
