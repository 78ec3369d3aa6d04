"""Arguments of the commands that maintain a storage.

They are separate, so that a training does not import the commands.
"""

import argparse
from typing import Final

GRACE_DAYS: Final = 7.0


def add_import(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``import``."""
    _add_location(parser)
    parser.add_argument("--namespace", metavar="NAME", help="only of this namespace")
    parser.add_argument("--model", metavar="NAME", help="only of models of this name")
    parser.add_argument("--output", metavar="FILE", help="where the YAML goes; default: standard output")
    parser.add_argument("--list", action="store_true", help="print a table of what there is, and no YAML")
    parser.add_argument("--check-files", action="store_true", help="read every file and compare its digest")
    parser.add_argument("--as", dest="seen", metavar="URI", help="where the cluster finds the storage, if it has moved")
    parser.add_argument("--secret", metavar="NAME", help="the Secret with the storage's credentials, if it has moved")
    parser.add_argument(
        "--without-gates", action="store_true", help="take versions of older releases, whose gates are not known"
    )


def add_prune(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``prune``."""
    _add_location(parser)
    parser.add_argument("--namespace", metavar="NAME", help="whose models; default: that of the pod")
    parser.add_argument("--model", metavar="NAME", help="only of this model")
    parser.add_argument(
        "--in-use",
        metavar="FILE",
        help="what is in use, by kubectl get mv,tj,md -o yaml; default: the pod's service account asks the API server",
    )
    parser.add_argument(
        "--grace-days",
        type=float,
        default=GRACE_DAYS,
        metavar="N",
        help=f"keep all of a job that wrote anything in the last N days; default: {GRACE_DAYS:g}",
    )
    parser.add_argument("--delete", action="store_true", help="remove it; without this nothing is changed")
    parser.add_argument(
        "--no-version-in-use",
        action="store_true",
        help="go on although the cluster has no ModelVersion, which may also mean that it has lost them",
    )


def add_logs(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``logs``."""
    _add_location(parser, "status.result.log of a TrainingJob, the address of a run, or one file of a log")
    parser.add_argument("--list", action="store_true", help="print which pods have left a log, and no lines")


def _add_location(
    parser: argparse.ArgumentParser, what: str = "storage.uri of the jobs (s3://, pvc://), or a folder"
) -> None:
    parser.add_argument("uri", metavar="URI", help=what)
    parser.add_argument("--endpoint", metavar="URL", help="of an S3 server that is not AWS")
    parser.add_argument("--region", metavar="NAME", help="of the bucket")
