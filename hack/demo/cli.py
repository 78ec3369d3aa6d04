"""``python hack/demo up | down | images``, which `make demo`, `make demo-down` and `make images` call."""

import argparse
import sys

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from cluster import lifecycle
from cluster.model import KINDS, ClusterError
from demo.images import prepare_images
from demo.run import run


def main(arguments: list[str] | None = None) -> int:
    """Run one command. An error is printed as one message, with exit status 1."""
    options = _parser().parse_args(arguments)
    console = Console(highlight=False)
    try:
        if options.command == "down":
            lifecycle.down(options.name, console.print)
        elif options.command == "images":
            prepare_images(console.print)
        else:
            run(console, name=options.name, kind=None if options.kind == "auto" else options.kind)
    except (ClusterError, BotoCoreError, ClientError, OSError) as error:
        console.file.flush()
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="create a cluster, train models and serve one")
    down = commands.add_parser("down", help="remove the demo with its cluster")
    commands.add_parser("images", help="build the images for later clusters")
    for command in (up, down):
        command.add_argument("--name", default="trainyard", help="name of the cluster (default: trainyard)")
    kinds = [kind for kind in KINDS if kind != "control-plane"]
    up.add_argument(
        "--kind",
        default="auto",
        choices=("auto", *kinds),
        help="kind of the cluster (default: the best one that runs here)",
    )
    return parser
