"""``python hack/cluster up | down``."""

import argparse
import sys
import time
from collections.abc import Callable

from cluster import lifecycle
from cluster.model import KINDS, ClusterError, Kind


def main(arguments: list[str] | None = None) -> int:
    """Run one command; a :class:`ClusterError` becomes a message and exit status 1."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], None] = options.run
    try:
        command(options)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; everything that was started is removed", file=sys.stderr)
        return 130
    return 0


def say(text: str) -> None:
    """Print one line of progress."""
    print(f"cluster: {text}", flush=True)


def _up(options: argparse.Namespace) -> None:
    started = time.monotonic()
    wanted: Kind | None = None if options.kind == "auto" else options.kind
    cluster = lifecycle.up(options.name, wanted, say)
    say(f"{cluster.name} (kind {cluster.kind}) is ready after {time.monotonic() - started:.1f} s")
    print(f"export KUBECONFIG={cluster.kubeconfig}")


def _down(options: argparse.Namespace) -> None:
    lifecycle.down(options.name, say)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cluster", description="A real Kubernetes on this machine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, text: str, run: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("--name", default="trainyard", help="of the cluster (default: trainyard)")
        sub.set_defaults(run=run)
        return sub

    up = command("up", "start a cluster, if it does not run already", _up)
    up.add_argument("--kind", default="auto", choices=("auto", *KINDS), help="default: the best that runs here")
    command("down", "stop a cluster and remove everything that it created", _down)
    return parser
