"""A real PostgreSQL server for tests: one table, a role that may read it, and a role that may not."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import psycopg

from cluster import packages
from tests.integration.trainer.object_store import free_port

START_SECONDS = 120
READER, STRANGER = "reader", "stranger"
PASSWORD = "secret-of-the-reader"
_SERVERS = Path("/usr/lib/postgresql")


class DatabaseServer:
    """Starts and stops the processes.

    PostgreSQL refuses to run as root. For root, it runs as the user that its package creates. It listens on one address
    of this machine, and every client needs a password.
    """

    def __init__(self, folder: Path, address: str = "127.0.0.1") -> None:
        self.address = address
        self._folder, self._user = folder, "postgres" if os.geteuid() == 0 else None
        self.port = free_port()
        folder.mkdir(parents=True)
        password = folder / "password"
        password.write_text(PASSWORD)
        self._open_folders()
        if self._user:
            for path in (folder, password):
                shutil.chown(path, self._user)
        programs = self._programs = _programs()
        options = ["--username=owner", "--auth=scram-sha-256", f"--pwfile={password}", "--no-sync", "--locale=C.UTF-8"]
        self._run(programs / "initdb", *options, str(folder / "data"))
        self._log = (folder / "log").open("wb")
        with (folder / "data/pg_hba.conf").open("a") as rules:
            rules.write("host all all all scram-sha-256\n")
        self._process = self._start()
        self._await_start()
        self._fill()

    def url(self, role: str = READER, password: str = PASSWORD, database: str = "shop") -> str:
        """Return the connection URL of a role."""
        return f"postgresql://{role}:{password}@{self.address}:{self.port}/{database}"

    def stop(self) -> None:
        """End the server and all of its processes. SIGINT does not wait for clients."""
        self._process.send_signal(2)
        self._process.wait(START_SECONDS)
        self._log.close()

    def restart(self) -> None:
        """End the server with all of its connections, and start it again with the same data and port."""
        self._process.send_signal(2)
        self._process.wait(START_SECONDS)
        self._process = self._start()
        self._await_start()

    def _open_folders(self) -> None:
        """Let the server's user reach its folder. Every start of pytest makes its folders private to their owner."""
        if self._user:
            for parent in (self._folder, *self._folder.parents[:-1]):
                parent.chmod(parent.stat().st_mode | 0o011)

    def _start(self) -> "subprocess.Popen[bytes]":
        self._open_folders()
        settings = {"listen_addresses": self.address, "unix_socket_directories": str(self._folder), "fsync": "off"}
        return subprocess.Popen(
            [self._programs / "postgres", "-D", self._folder / "data", "-p", str(self.port)]
            + [part for name, value in settings.items() for part in ("-c", f"{name}={value}")],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            user=self._user,
            cwd=self._folder,
        )

    def _run(self, program: Path, *arguments: str) -> None:
        subprocess.run([program, *arguments], check=True, capture_output=True, user=self._user, cwd=self._folder)

    def _await_start(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            if self._process.poll() is not None or time.monotonic() > deadline:
                log = (self._folder / "log").read_text()
                raise RuntimeError(f"PostgreSQL did not answer on port {self.port} within {START_SECONDS} s:\n{log}")
            try:
                socket.create_connection((self.address, self.port), timeout=1).close()
                psycopg.connect(self.url("owner", database="postgres")).close()
            except (ConnectionRefusedError, psycopg.OperationalError):
                time.sleep(0.05)  # between two checks
            else:
                return

    def _fill(self) -> None:
        with psycopg.connect(self.url("owner", database="postgres"), autocommit=True) as owner:
            owner.execute("CREATE DATABASE shop")
        with psycopg.connect(self.url("owner")) as owner:
            owner.execute(
                "CREATE TABLE sales AS SELECT day::timestamptz AS date, product,"
                " round((20 + 5 * sin(extract(doy FROM day)))::numeric, 2) AS sold, '{\"a\": 1}'::jsonb AS note"
                " FROM generate_series(date '2025-01-01', date '2025-07-19', interval '1 day') AS day,"
                " unnest(ARRAY['bread', 'rolls']) AS product"
            )
            for role in (READER, STRANGER):
                owner.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
            owner.execute(f"ALTER ROLE {READER} SET timezone = 'America/New_York'")
            owner.execute(f"GRANT SELECT ON sales TO {READER}")


def _programs() -> Path:
    """Return the folder of PostgreSQL's programs. Install them if they are missing."""
    if not _newest():
        packages.ensure({"postgres": "postgresql"}, print)
    found = _newest()
    assert found, f"no PostgreSQL below {_SERVERS}: install the package postgresql"
    return found


def _newest() -> Path | None:
    found = sorted(_SERVERS.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None
