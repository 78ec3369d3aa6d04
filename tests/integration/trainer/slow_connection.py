"""A slow connection to a server: a TCP proxy that limits the bytes per second of the responses."""

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
    """``endpoint`` replaces the server's endpoint. ``received`` counts the bytes of the responses."""

    def __init__(self, bytes_per_second: int) -> None:
        self.bytes_per_second = bytes_per_second
        self.endpoint = ""
        self.received = 0

    def forward_response(self, server: socket.socket, client: socket.socket) -> None:
        """Forward what the server sends, until it closes the connection or the client does."""
        with contextlib.suppress(OSError):
            while piece := server.recv(_PIECE):
                client.sendall(piece)
                self.received += len(piece)
                time.sleep(len(piece) / self.bytes_per_second)  # the limit of the connection; nothing waits for it


@contextmanager
def slow_connection(endpoint: str, bytes_per_second: int) -> Iterator[SlowConnection]:
    """Open a slow connection to ``http://host:port``."""
    target = urlsplit(endpoint)
    connection = SlowConnection(bytes_per_second)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            # A connection reset is a normal end.
            with socket.create_connection((target.hostname, target.port)) as server, contextlib.suppress(OSError):
                back = threading.Thread(target=connection.forward_response, args=(server, self.request), daemon=True)
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
