"""A PostgreSQL server that a drill may stop and start again."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from libs.database.tests.servers import (
    IN_CONTAINERS,
    SERVERS_USER,
    new_database,
    program,
    running_postgres,
)

CAN_BE_STOPPED = program("pg_ctl") is not None and not IN_CONTAINERS
"""Whether there can be a server that is stopped and started again."""


@dataclass(frozen=True)
class Server:
    """`url` has no database; `data` is where it keeps what it holds."""

    url: str
    data: Path

    def databases(self) -> dict[str, str]:
        """Make two empty ones; their URLs as settings."""
        return {name: new_database(self.url) for name in ("PENSTOCK_ACCOUNTS_DB", "PENSTOCK_DOCUMENTS_DB")}

    def stop(self) -> None:
        """As if its machine were gone: nothing is finished."""
        self._ctl("-m", "immediate", "stop")

    def start(self) -> None:
        """Start it again on its port, and wait until it answers."""
        port = self.url.rpartition(":")[2]
        options = f"-p {port} -c unix_socket_directories= -c listen_addresses=127.0.0.1"
        self._ctl("-w", "-o", options, "-l", str(self.data / "again.log"), "start")

    def _ctl(self, *words: str) -> None:
        control = program("pg_ctl")
        assert control is not None
        quiet = subprocess.DEVNULL
        command = [control, "-D", str(self.data), *words]
        subprocess.run(command, check=True, user=SERVERS_USER, cwd=self.data, stdout=quiet, stderr=quiet)  # noqa: S603  # ours


@contextmanager
def postgres(folder: Path) -> Iterator[Server]:
    """A server for one drill."""
    folder.mkdir(parents=True, exist_ok=True)
    with running_postgres(folder) as url:
        server = Server(url, folder / "data")
        try:
            yield server
        finally:
            if (server.data / "postmaster.pid").exists():
                server.stop()
