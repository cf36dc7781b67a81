"""PostgreSQL and Redis on loopback, for one run.

From the machine's own programs, where it has them, or in containers, which are chosen by
`PENSTOCK_TEST_CONTAINERS=1` (`make test-containers`).
"""

import asyncio
import getpass
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg

from libs.database.tests import containers
from libs.database.tests.ports import free_port, listens

IN_CONTAINERS = os.environ.get("PENSTOCK_TEST_CONTAINERS", "") not in ("", "0")
_REDIS = shutil.which("redis-server")
REDIS = IN_CONTAINERS or _REDIS is not None
"""Whether there can be a Redis."""
_INITDB = [shutil.which("initdb"), *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")))]
_PROGRAMS = next((Path(found).resolve().parent for found in _INITDB if found), None)
POSTGRES = IN_CONTAINERS or _PROGRAMS is not None
"""Whether there can be a PostgreSQL."""
SERVERS_USER = "postgres" if os.geteuid() == 0 else getpass.getuser()
"""Whom the local one runs as: never root."""


def program(name: str) -> str | None:
    """Return the path of one of PostgreSQL's programs, of the version that runs here, or None."""
    return shutil.which(name, path=f"{_PROGRAMS or ''}{os.pathsep}{os.environ['PATH']}")


@contextmanager
def running_postgres(folder: Path) -> Iterator[str]:
    """A server with what it keeps in `folder`, until the block ends; its URL without a database."""
    if IN_CONTAINERS:
        with containers.postgres(folder) as url:
            yield url
        return
    assert _PROGRAMS is not None
    user = SERVERS_USER
    owner = pwd.getpwnam(user)
    for path in (folder, *folder.parents):
        if path.stat().st_uid == os.geteuid() and path != Path("/") and path != Path("/tmp"):  # noqa: S108
            path.chmod(path.stat().st_mode | 0o055)
    data = folder / "data"
    data.mkdir()
    os.chown(data, owner.pw_uid, owner.pw_gid)
    initdb = [str(_PROGRAMS / "initdb"), "-D", str(data), "-U", user, "-A", "trust", "--no-sync"]
    quiet = subprocess.DEVNULL
    subprocess.run(initdb, check=True, user=user, cwd=data, stdout=quiet, stderr=quiet)  # noqa: S603  # fixed words
    port = free_port()
    settings = ["fsync=off", "unix_socket_directories=", "listen_addresses=127.0.0.1"]
    command = [str(_PROGRAMS / "postgres"), "-D", str(data), "-p", str(port)]
    command += [word for setting in settings for word in ("-c", setting)]
    with _running(command, port, data, user):
        _until_it_accepts(port)
        yield f"postgresql+asyncpg://{user}@127.0.0.1:{port}"


def _until_it_accepts(port: int) -> None:
    """A server that listens may still be starting up."""
    pg_isready = program("pg_isready")
    assert pg_isready is not None
    asked = [pg_isready, "-q", "-h", "127.0.0.1", "-p", str(port)]
    deadline = time.monotonic() + 60
    while subprocess.run(asked, check=False).returncode:  # noqa: S603  # fixed words
        assert time.monotonic() < deadline, asked
        time.sleep(0.1)


def new_database(server: str) -> str:
    """Make an empty database on a PostgreSQL server, and return its URL."""
    name = f"test_{uuid4().hex}"

    async def make() -> None:
        connection = await asyncpg.connect(f"{server.replace('+asyncpg', '')}/postgres")
        try:
            await connection.execute(f"CREATE DATABASE {name}")
        finally:
            await connection.close()

    asyncio.run(make())
    return f"{server}/{name}"


@contextmanager
def running_redis(folder: Path) -> Iterator[str]:
    """A server that keeps nothing, until the block ends; its URL."""
    if IN_CONTAINERS:
        with containers.redis() as url:
            yield url
        return
    assert _REDIS is not None
    port = free_port()
    with _running([_REDIS, "--port", str(port), "--bind", "127.0.0.1", "--save", ""], port, folder):
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def _running(command: Sequence[str], port: int, folder: Path, user: str | None = None) -> Iterator[None]:
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=folder, user=user, stdout=quiet, stderr=quiet)  # noqa: S603  # fixed words
    try:
        deadline = time.monotonic() + 30
        while not listens(port):
            assert process.poll() is None, command
            assert time.monotonic() < deadline, command
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()
