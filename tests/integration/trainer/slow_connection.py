"""A slow connection to a server: a TCP proxy that lets so many bytes per second come back."""

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

_PIECE = 16 * 1024


class SlowConnection:
    """``endpoint`` stands for that of the server; ``received`` counts the bytes that came back through it."""

    def __init__(self, bytes_per_second: int) -> None:
        self.bytes_per_second = bytes_per_second
        self.endpoint = ""
        self.received = 0

    def carry_back(self, server: socket.socket, client: socket.socket) -> None:
        """Pass on what the server says until it has said all, or the client is gone."""
        with contextlib.suppress(OSError):
            while piece := server.recv(_PIECE):
                client.sendall(piece)
                self.received += len(piece)
                time.sleep(len(piece) / self.bytes_per_second)  # the connection's own slowness; nothing waits for it


@contextmanager
def slow_connection(endpoint: str, bytes_per_second: int) -> Iterator[SlowConnection]:
    """Open a slow connection to ``http://host:port``."""
    target = urlsplit(endpoint)
    connection = SlowConnection(bytes_per_second)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            # A reset connection is the end of a conversation like any other.
            with socket.create_connection((target.hostname, target.port)) as server, contextlib.suppress(OSError):
                back = threading.Thread(target=connection.carry_back, args=(server, self.request), daemon=True)
                back.start()
                while piece := self.request.recv(_PIECE):
                    server.sendall(piece)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as proxy:
        proxy.daemon_threads = True
        proxy.block_on_close = False
        connection.endpoint = f"http://127.0.0.1:{proxy.server_address[1]}"
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield connection
        proxy.shutdown()
