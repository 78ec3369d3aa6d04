"""`up`, `down` and the choice of the kind of cluster, for the command line and the tests."""

from collections.abc import Iterator
from contextlib import contextmanager

from cluster import state
from cluster.control_plane import ControlPlaneBackend, ControlPlaneOptions
from cluster.model import KINDS, Backend, Cluster, ClusterError, Images, Kind, Progress
from cluster.processes import ProcessTable


def backend(kind: Kind) -> Backend:
    """Return the backend of a kind. It is imported here, because a control plane needs no code of nodes."""
    match kind:
        case "kind":
            from cluster.kind_backend import KindBackend

            return KindBackend()
        case "host":
            from cluster.host_node import HostBackend

            return HostBackend()
        case "process":
            from cluster.process_backend import ProcessBackend

            return ProcessBackend()
        case "control-plane":
            return ControlPlaneBackend()


def choose(wanted: Kind | None, progress: Progress) -> Kind:
    """Return the wanted kind, or the best one that can run here. Raises :class:`ClusterError` if none can."""
    if wanted is not None:
        if why := backend(wanted).obstacle():
            raise ClusterError(f"a cluster of kind {wanted} cannot run here: {why}")
        return wanted
    obstacles: list[str] = []
    for kind in KINDS[:-1]:
        why = backend(kind).obstacle()
        if why is None:
            progress(f"chose kind {kind}" + "".join(f"; {text}" for text in obstacles))
            return kind
        obstacles.append(f"not {kind}: {why}")
    ways = "start Docker, or run as root on Debian or Ubuntu, or install Go 1.26 for the process node"
    raise ClusterError("no kind of cluster can run here: " + "; ".join(obstacles) + f". To solve this, {ways}")


def up(name: str, wanted: Kind | None, progress: Progress, images: Images = tuple) -> Cluster:
    """Return the running cluster of this name, or start one. A host node then has ``images()`` from the start.

    Raises :class:`ClusterError`.
    """
    with state.locked(name):
        known = state.load(name)
        if known is not None and is_running(known):
            if wanted not in (None, known.kind):
                raise ClusterError(
                    f"cluster {name} already runs as kind {known.kind}: take it down first, or use another name"
                )
            progress(f"cluster {name} (kind {known.kind}) is already running")
            return known
        return _start(backend(choose(wanted, progress)), name, images, progress)


def down(name: str, progress: Progress) -> None:
    """Remove a cluster, if it exists."""
    with state.locked(name):
        known = state.load(name)
        if known is None:
            progress(f"there is no cluster {name}")
            return
        backend(known.kind).down(known, progress)
        progress(f"cluster {name} is removed")


def is_running(cluster: Cluster) -> bool:
    """Return whether a cluster has started completely and all its processes (with kind, its containers) run."""
    if not state.is_ready(cluster.name):
        return False
    if cluster.kind == "kind":
        from cluster.kind_backend import KindBackend

        containers = KindBackend().containers(cluster).values()
        return bool(containers) and all(text.startswith("Up") for text in containers)
    processes = ProcessTable(cluster.folder).all()
    return bool(processes) and all(process.alive() for process in processes)


@contextmanager
def temporary_control_plane(
    name: str, options: ControlPlaneOptions | None = None, progress: Progress = print
) -> Iterator[Cluster]:
    """Run a control plane during a ``with`` block."""
    chosen = ControlPlaneBackend(options)
    with state.locked(name):
        cluster = _start(chosen, name, tuple, progress)
    try:
        yield cluster
    finally:
        chosen.down(cluster, progress)


def _start(chosen: Backend, name: str, images: Images, progress: Progress) -> Cluster:
    """Start a cluster, after the removal of an earlier one. If the start fails, remove everything that it created."""
    if (earlier := state.load(name)) is not None:
        progress(f"removing the rest of an earlier cluster {name} (kind {earlier.kind})")
        backend(earlier.kind).down(earlier, progress)
    state.forget(name)
    try:
        cluster = chosen.up(name, images, progress)
        state.mark_ready(name)
    except BaseException:
        partial = state.load(name)
        if partial is not None:
            chosen.down(partial, progress)
        state.forget(name)
        raise
    return cluster
