"""Which local program stands for which image.

A process node has no images. It is started with a mapping from the repository of an image to the command line that does
the same from the checkout; a container's `command` and `args` then override as they override an image's entry point.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from cluster.process_node.podspec import Container

POD_IP_REFERENCE = "$(POD_IP)"
"""In a variable of a program, the address of the pod that it runs in.

All pods here share one network. A program that listens on all addresses, as it should in a pod with a network of its
own, is told here to listen on its pod's address alone.
"""


class ImageUnknownError(Exception):
    """No program is mapped to the image: what a kubelet calls a failed pull."""


@dataclass(frozen=True)
class Program:
    """What an image would bring: entry point, default arguments, environment.

    `keeps_entrypoint` says that a container's `command` names a path inside the image which has no meaning here, so the
    mapped entry point runs in its place.
    """

    entrypoint: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    keeps_entrypoint: bool = False

    def variables(self, pod_ip: str) -> dict[str, str]:
        """Return the environment in a pod with this address."""
        return {name: value.replace(POD_IP_REFERENCE, pod_ip) for name, value in self.env.items()}


_ENTRIES: TypeAdapter[dict[str, tuple[str, ...] | Program]] = TypeAdapter(dict[str, tuple[str, ...] | Program])


def repository(image: str) -> str:
    """Cut registry host, tag and digest: `ghcr.io/acme/trainer:1.2@sha256:..` -> `acme/trainer`."""
    path = image.partition("@")[0]
    head, slash, rest = path.partition("/")
    if slash and ("." in head or ":" in head or head == "localhost"):
        path = rest
    return path.partition(":")[0]


def find_program(programs: Mapping[str, Program], image: str) -> Program:
    """Find the program of an image by its repository, else by the last part of it.

    Raises
    ------
    ImageUnknownError
        Nothing is mapped; the message names the image and what is known.
    """
    name = repository(image)
    found = programs.get(name) or programs.get(name.rpartition("/")[2])
    if found is None:
        known = ", ".join(sorted(programs)) or "none"
        raise ImageUnknownError(
            f"image {image!r}: no local program is mapped to repository {name!r} on this process node (known: {known})"
        )
    return found


def command_line(program: Program, container: Container) -> tuple[str, ...]:
    """Combine as Kubernetes does: `command` replaces entry point and default arguments, `args` the arguments alone."""
    if container.command is not None and not program.keeps_entrypoint:
        return container.command + (container.args or ())
    return program.entrypoint + (program.arguments if container.args is None else container.args)


def read_programs(path: Path) -> dict[str, Program]:
    """Read the mapping file: repository -> list of words, or an object with the fields of `Program`.

    Raises
    ------
    ValueError
        The file is no such mapping; the message names file and entry.
    """
    try:
        entries = _ENTRIES.validate_json(path.read_text())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ValueError(f"{path}: {where}: {first['msg']}; expected image repository -> list of words") from error
    return {name: each if isinstance(each, Program) else Program(each) for name, each in entries.items()}


def write_programs(path: Path, programs: Mapping[str, Program]) -> None:
    """Write a mapping file that `read_programs` reads; a node that runs takes it at the next start of a container."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({name: asdict(each) for name, each in programs.items()}, indent=2) + "\n")
    fresh.replace(path)
