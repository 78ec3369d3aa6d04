"""A TCP proxy before PostgreSQL that cuts the connection at a chosen message, as a node that is lost does."""

import contextlib
import select
import socket
import struct
import threading
from typing import Self

COUNTED = b"QEdc"
"""Types of messages that are counted: a query, the execution of a statement, data of a COPY, and the end of a COPY."""

_ANSWER_SECONDS = 1.0


class CutConnection:
    """Context manager of a proxy. ``port`` is its port; connections must not use TLS.

    The connection is cut at message number ``at`` (0-based) of the client: before the server gets it, or ``after`` the
    server has responded, without the response. Then ``was_cut`` is true.
    """

    def __init__(self, port: int, at: int, *, after: bool) -> None:
        self._target, self._at, self._after = port, at, after
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.was_cut = False
        self._seen = 0
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client, socket.create_connection(("127.0.0.1", self._target)) as server:
                    self._relay(client, server)

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            server.sendall(_exactly(client, 4, is_startup=True))
            while True:
                readable, _, _ = select.select([client, server], [], [])
                if server in readable:
                    answer = server.recv(65536)
                    if not answer:
                        return
                    client.sendall(answer)
                if client in readable:
                    message = _exactly(client, 5)
                    if not message or not self._forward(message, server):
                        return

    def _forward(self, message: bytes, server: socket.socket) -> bool:
        """Forward a message, and return whether the connection goes on."""
        cut = False
        if message[0] in COUNTED:
            cut = self._seen == self._at
            self._seen += 1
        self.was_cut = self.was_cut or cut
        if cut and not self._after:
            return False
        server.sendall(message)
        if not cut:
            return True
        if message[0] in b"E":
            server.sendall(b"S" + struct.pack(">I", 4))  # the Sync that makes the server execute the statement
        if message[0] not in b"d":  # data has no response of its own
            select.select([server], [], [], _ANSWER_SECONDS)
        return False


def _exactly(client: socket.socket, header: int, *, is_startup: bool = False) -> bytes:
    """Read one message: an optional type, the length, and the rest. Empty if the client has closed."""
    head = _read(client, header)
    if len(head) < header:
        return b""
    (length,) = struct.unpack(">I", head[0 if is_startup else 1 :])
    return head + _read(client, length - 4)


def _read(client: socket.socket, size: int) -> bytes:
    parts = b""
    while len(parts) < size:
        part = client.recv(size - len(parts))
        if not part:
            return b""
        parts += part
    return parts
