"""PostgreSQL and Redis from the machine's own programs, where it has them: on loopback, for one run."""

import getpass
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REDIS = shutil.which("redis-server")
_INITDB = [shutil.which("initdb"), *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")))]
POSTGRES = next((Path(found).parent for found in _INITDB if found), None)
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
    options = {"user": user, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": data}
    initdb = [POSTGRES / "initdb", "-D", data, "-U", user, "-A", "trust", "--no-sync"]
    subprocess.run(initdb, check=True, **options)  # noqa: S603  # fixed words
    port = _free_port()
    settings = ["fsync=off", "unix_socket_directories=", "listen_addresses=127.0.0.1"]
    command = [POSTGRES / "postgres", "-D", data, "-p", str(port)]
    command += [word for setting in settings for word in ("-c", setting)]
    with _running(command, port, **options):
        _until_it_accepts(port)
        yield f"postgresql+asyncpg://{user}@127.0.0.1:{port}"


def _until_it_accepts(port: int) -> None:
    """A server that listens may still be starting up."""
    pg_isready = shutil.which("pg_isready", path=f"{POSTGRES}{os.pathsep}{os.environ['PATH']}")
    assert pg_isready is not None
    asked = [pg_isready, "-q", "-h", "127.0.0.1", "-p", str(port)]
    deadline = time.monotonic() + 60
    while subprocess.run(asked, check=False).returncode:  # noqa: S603  # fixed words
        assert time.monotonic() < deadline, asked
        time.sleep(0.1)


@contextmanager
def running_redis(folder: Path) -> Iterator[str]:
    """A server that keeps nothing, until the block ends; its URL."""
    port = _free_port()
    command = [REDIS, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
    with _running(command, port, stdout=subprocess.DEVNULL):
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def _running(command: list[object], port: int, **options: object) -> Iterator[None]:
    process = subprocess.Popen(command, **options)  # noqa: S603  # fixed words
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
        return listener.getsockname()[1]
