"""Arguments of the commands that maintain a storage.

They are separate, so that a training does not import the commands.
"""

import argparse
from typing import Final

GRACE_DAYS: Final = 7.0


def add_import(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``import``."""
    _add_location(parser)
    parser.add_argument("--namespace", metavar="NAME", help="only versions of this namespace")
    parser.add_argument("--model", metavar="NAME", help="only versions of models with this name")
    parser.add_argument("--output", metavar="FILE", help="file for the YAML; default: standard output")
    parser.add_argument("--list", action="store_true", help="print a table of the versions instead of YAML")
    parser.add_argument("--check-files", action="store_true", help="read every file and compare its digest")
    parser.add_argument(
        "--as", dest="seen", metavar="URI", help="address of the storage in the cluster, if the storage has moved"
    )
    parser.add_argument(
        "--secret", metavar="NAME", help="Secret with the credentials of the storage, if the storage has moved"
    )
    parser.add_argument(
        "--without-gates", action="store_true", help="also import versions of older releases, whose gates are unknown"
    )


def add_prune(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``prune``."""
    _add_location(parser)
    parser.add_argument("--namespace", metavar="NAME", help="namespace of the models; default: that of the pod")
    parser.add_argument("--model", metavar="NAME", help="only of this model")
    parser.add_argument(
        "--in-use",
        metavar="FILE",
        help=(
            "objects in use, the output of kubectl get mv,tj,md -o yaml; default: read them from the API "
            "server with the service account of the pod"
        ),
    )
    parser.add_argument(
        "--grace-days",
        type=float,
        default=GRACE_DAYS,
        metavar="N",
        help=f"keep all objects of a job that wrote something in the last N days; default: {GRACE_DAYS:g}",
    )
    parser.add_argument(
        "--delete", action="store_true", help="remove the objects; without this option nothing is changed"
    )
    parser.add_argument(
        "--no-version-in-use",
        action="store_true",
        help="continue although the cluster has no ModelVersion; check first that it has not lost them",
    )


def add_logs(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``logs``."""
    _add_location(parser, "status.result.log of a TrainingJob, the address of a run, or one log file")
    parser.add_argument("--list", action="store_true", help="print the names of the logs instead of their lines")


def _add_location(
    parser: argparse.ArgumentParser, what: str = "storage.uri of the jobs (s3://, pvc://), or a folder"
) -> None:
    parser.add_argument("uri", metavar="URI", help=what)
    parser.add_argument("--endpoint", metavar="URL", help="address of an S3 server other than AWS")
    parser.add_argument("--region", metavar="NAME", help="region of the bucket")
