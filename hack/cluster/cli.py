"""``python hack/cluster up | down | status | load-image``."""

import argparse
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

from cluster import lifecycle
from cluster.model import KINDS, ClusterError, Kind


def main(arguments: list[str] | None = None) -> int:
    """Run one command; a :class:`ClusterError` becomes a sentence and exit status 1."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], None] = options.run
    try:
        command(options)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; what had been started is removed", file=sys.stderr)
        return 130
    return 0


def say(text: str) -> None:
    """Print one line of progress at once."""
    print(f"cluster: {text}", flush=True)


def _up(options: argparse.Namespace) -> None:
    started = time.monotonic()
    wanted: Kind | None = None if options.kind == "auto" else options.kind
    cluster = lifecycle.up(options.name, wanted, say)
    say(f"{cluster.name} (kind {cluster.kind}) is ready after {time.monotonic() - started:.1f} s")
    print(f"export KUBECONFIG={cluster.kubeconfig}")


def _down(options: argparse.Namespace) -> None:
    lifecycle.down(options.name, say)


def _status(options: argparse.Namespace) -> None:
    cluster = lifecycle.find(options.name)
    print(f"{cluster.name}: kind {cluster.kind}, {cluster.server}, KUBECONFIG={cluster.kubeconfig}")
    for component, text in lifecycle.backend(cluster.kind).status(cluster).items():
        print(f"  {component:26} {text}")


def _load_image(options: argparse.Namespace) -> None:
    cluster = lifecycle.find(options.name)
    if not tarfile.is_tarfile(options.archive):
        raise ClusterError(f"{options.archive} is no image archive: write one with `docker save` or `buildah push`")
    lifecycle.backend(cluster.kind).load_image(cluster, options.archive, say)


def _existing_file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {path}")
    return path.resolve()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cluster", description="A real Kubernetes on this machine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, text: str, run: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("--name", default="trainyard", help="of the cluster (default: trainyard)")
        sub.set_defaults(run=run)
        return sub

    up = command("up", "start a cluster, or say that it runs already", _up)
    up.add_argument("--kind", default="auto", choices=("auto", *KINDS), help="default: the best that runs here")
    command("down", "stop a cluster and leave nothing behind", _down)
    command("status", "what runs", _status)
    load = command("load-image", "make an OCI image archive known to the node", _load_image)
    load.add_argument("archive", type=_existing_file)
    return parser
