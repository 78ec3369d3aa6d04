"""The settings of a process node."""

from pathlib import Path

from pydantic import BaseModel


class Timing(BaseModel):
    """Intervals in seconds: between two tries to start, before restarts (as a kubelet), between updates of volumes."""

    retry: float = 1
    first_restart: float = 10
    longest_restart: float = 300
    refresh: float = 300


class NodeSettings(BaseModel):
    """How a process node is started.

    Attributes
    ----------
    name, server, ca, certificate, key
        Name of the Node, URL of the API server, and the certificate of the node, also for its log endpoint.
    folder
        Of the pods and their volumes. Its path is short, because programs put sockets below it: a socket's path has at
        most 107 bytes.
    programs
        The file that maps images to programs. It is read whenever a container starts.
    search_path
        The PATH of every container.
    """

    name: str
    server: str
    ca: Path
    certificate: Path
    key: Path
    folder: Path
    programs: Path
    search_path: str
    timing: Timing = Timing()

    def pod_folder(self, uid: str) -> Path:
        """Return the folder of a pod. The last twelve digits of a uid are random."""
        return self.folder / "pods" / uid.rpartition("-")[2]
