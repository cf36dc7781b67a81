"""PostgreSQL and Redis from the machine's own programs, where it has them: on loopback, for one run."""

import getpass
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

REDIS = shutil.which("redis-server")
_INITDB = [shutil.which("initdb"), *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")))]
POSTGRES = next((Path(found).resolve().parent for found in _INITDB if found), None)
"""The folder of PostgreSQL's programs, None if there are none."""


@contextmanager
def running_postgres(folder: Path) -> Iterator[str]:
    """A server with its data in `folder`, until the block ends; its URL without a database."""
    assert POSTGRES is not None
    user = "postgres" if os.geteuid() == 0 else getpass.getuser()  # it does not run as root
    owner = pwd.getpwnam(user)
    for path in (folder, *folder.parents):
        if path.stat().st_uid == os.geteuid() and path != Path("/") and path != Path("/tmp"):  # noqa: S108
            path.chmod(path.stat().st_mode | 0o055)
    data = folder / "data"
    data.mkdir()
    os.chown(data, owner.pw_uid, owner.pw_gid)
    initdb = [str(POSTGRES / "initdb"), "-D", str(data), "-U", user, "-A", "trust", "--no-sync"]
    quiet = subprocess.DEVNULL
    subprocess.run(initdb, check=True, user=user, cwd=data, stdout=quiet, stderr=quiet)  # noqa: S603  # fixed words
    port = _free_port()
    settings = ["fsync=off", "unix_socket_directories=", "listen_addresses=127.0.0.1"]
    command = [str(POSTGRES / "postgres"), "-D", str(data), "-p", str(port)]
    command += [word for setting in settings for word in ("-c", setting)]
    with _running(command, port, data, user):
        _until_it_accepts(POSTGRES, port)
        yield f"postgresql+asyncpg://{user}@127.0.0.1:{port}"


def _until_it_accepts(programs: Path, port: int) -> None:
    """A server that listens may still be starting up."""
    pg_isready = shutil.which("pg_isready", path=f"{programs}{os.pathsep}{os.environ['PATH']}")
    assert pg_isready is not None
    asked = [pg_isready, "-q", "-h", "127.0.0.1", "-p", str(port)]
    deadline = time.monotonic() + 60
    while subprocess.run(asked, check=False).returncode:  # noqa: S603  # fixed words
        assert time.monotonic() < deadline, asked
        time.sleep(0.1)


def new_database(server: str) -> str:
    """Make an empty database on a PostgreSQL server, by its own program, and return its URL."""
    psql = shutil.which("psql", path=f"{POSTGRES}{os.pathsep}{os.environ['PATH']}")
    assert psql is not None
    name = f"test_{uuid4().hex}"
    where = f"{server.replace('+asyncpg', '')}/postgres"
    subprocess.run([psql, "-q", "-c", f"CREATE DATABASE {name}", where], check=True)  # noqa: S603  # fixed words
    return f"{server}/{name}"


@contextmanager
def running_redis(folder: Path) -> Iterator[str]:
    """A server that keeps nothing, until the block ends; its URL."""
    assert REDIS is not None
    port = _free_port()
    with _running([REDIS, "--port", str(port), "--bind", "127.0.0.1", "--save", ""], port, folder):
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def _running(command: Sequence[str], port: int, folder: Path, user: str | None = None) -> Iterator[None]:
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=folder, user=user, stdout=quiet, stderr=quiet)  # noqa: S603  # fixed words
    try:
        deadline = time.monotonic() + 30
        while not _listens(port):
            assert process.poll() is None, command
            assert time.monotonic() < deadline, command
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
