"""The local programs that stand for images.

A process node has no images. A file maps the name of an image to the program that does the same from the checkout. The
`command` and `args` of a container override it as they override the entry point of an image.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from cluster.process_node.pods import Container

POD_IP_REFERENCE = "$(POD_IP)"
"""In a variable of a program: the address of the pod. All pods share one network, so it must listen there only."""


class ImageUnknownError(Exception):
    """No program stands for the image. A kubelet reports a failed pull."""


@dataclass(frozen=True)
class Program:
    """The command line and the environment that an image would bring."""

    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)

    def variables(self, pod_ip: str) -> dict[str, str]:
        """Return the environment in a pod with this address."""
        return {name: value.replace(POD_IP_REFERENCE, pod_ip) for name, value in self.env.items()}

    def command_line(self, container: Container) -> tuple[str, ...]:
        """Return the command line of a container: `command` replaces that of the image, `args` follow."""
        return (container.command or self.command) + container.args


_PROGRAMS: TypeAdapter[dict[str, Program]] = TypeAdapter(dict[str, Program])


def find_program(programs: Mapping[str, Program], image: str) -> Program:
    """Return the program of an image, by the last part of its name: `ghcr.io/acme/trainer:1.2` -> `trainer`.

    Raises :class:`ImageUnknownError`, which names the image and the known names.
    """
    name = image.partition("@")[0].rpartition("/")[2].partition(":")[0]
    if name not in programs:
        known = ", ".join(sorted(programs)) or "none"
        raise ImageUnknownError(
            f"image {image!r}: this process node has no local program with the name {name!r} (known: {known})"
        )
    return programs[name]


def read_programs(path: Path) -> dict[str, Program]:
    """Read a file that :func:`write_programs` wrote."""
    return _PROGRAMS.validate_json(path.read_bytes())


def write_programs(path: Path, programs: dict[str, Program]) -> None:
    """Replace the file in one step. A node reads it whenever it starts a container."""
    partial = path.with_suffix(".partial")
    partial.write_bytes(_PROGRAMS.dump_json(programs, indent=2))
    partial.replace(path)
