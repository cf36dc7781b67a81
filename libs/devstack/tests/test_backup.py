"""Backups: what is in them, and that none of it is ever half there."""

from __future__ import annotations

import errno
import gzip
import io
import os
import resource
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import pytest

from penstock.devstack.backup import backup, restore
from penstock.devstack.errors import DevstackError
from penstock.devstack.state import StateDir

NOISE = os.urandom(200_000)


def quiet(_: str) -> None: ...


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    """As a stack leaves it: a database whose last row is in its write-ahead log alone, blobs, a secret."""
    folder = tmp_path / "state"
    for name in (
        "gateway",
        "ingestion/blobs/files",
        "kafka/data/chat.requests-0",
        "logs",
        "index/1",
        "retrieval-2/index",
    ):
        (folder / name).mkdir(parents=True)
    (folder / "api-key").touch(mode=0o600)
    (folder / "api-key").write_text("sk-secret\n")
    (folder / "ingestion/blobs/files/a").write_bytes(NOISE)
    (folder / "kafka/data/chat.requests-0/0.log").write_bytes(NOISE[:5000])
    (folder / "logs/gateway.log").write_text("chatter")
    (folder / "index/1/vectors").write_text("made anew")
    (folder / "retrieval-2/index/vectors").write_text("made anew")
    (folder / "supervisor.pid").touch()
    program = (
        "import os, sqlite3, sys\n"
        "database = sqlite3.connect(sys.argv[1])\n"
        "database.execute('PRAGMA journal_mode=WAL')\n"
        "database.execute('CREATE TABLE keys (name TEXT)')\n"
        "database.execute(\"INSERT INTO keys VALUES ('mine')\")\n"
        "database.commit()\n"
        "os._exit(0)\n"  # no tidy close, as after a kill
    )
    subprocess.run([sys.executable, "-c", program, folder / "gateway/accounts.db"], check=True)  # noqa: S603  # ours
    assert (folder / "gateway/accounts.db-wal").stat().st_size
    return StateDir(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.parent.name != "gateway"
    }


def test_a_restored_state_is_the_one_that_was_kept(state: StateDir, tmp_path: Path) -> None:
    file = tmp_path / "kept.tar.gz"
    assert backup(state, file, quiet) == file.stat().st_size
    assert file.stat().st_mode & 0o777 == 0o600, "it holds secrets"
    again = StateDir(tmp_path / "again")
    restore(again, file, quiet)
    assert {name: body for name, body in contents(again.folder).items() if name != "supervisor.pid"} == {
        "api-key": b"sk-secret\n",
        "ingestion/blobs/files/a": NOISE,
        "kafka/data/chat.requests-0/0.log": NOISE[:5000],
    }
    assert again.api_key.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(again.folder / "gateway/accounts.db")) as database:
        assert database.execute("SELECT name FROM keys").fetchall() == [("mine",)]
    assert not list(tmp_path.glob(".*"))


def test_a_running_stack_is_left_alone(state: StateDir, tmp_path: Path) -> None:
    file = tmp_path / "kept"
    with state.supervising(), pytest.raises(DevstackError, match="stop it first, with `penstock down`"):
        backup(state, file, quiet)
    backup(state, file, quiet)
    empty = StateDir(tmp_path / "empty")
    with empty.supervising(), pytest.raises(DevstackError, match="stop it first"):
        restore(empty, file, quiet)


def test_what_is_there_is_never_written_over(state: StateDir, tmp_path: Path) -> None:
    file = tmp_path / "kept"
    file.write_text("another one")
    with pytest.raises(DevstackError, match="is there already"):
        backup(state, file, quiet)
    assert file.read_text() == "another one"
    file.unlink()
    backup(state, file, quiet)
    before = contents(state.folder)
    with pytest.raises(DevstackError, match=r"holds a state .*move it away first"):
        restore(state, file, quiet)
    assert contents(state.folder) == before


def test_what_cannot_be_kept_is_said(state: StateDir, tmp_path: Path) -> None:
    with pytest.raises(DevstackError, match="holds no state"):
        backup(StateDir(tmp_path / "nowhere"), tmp_path / "kept", quiet)
    with pytest.raises(DevstackError, match="lies in the state folder itself"):
        backup(state, state.folder / "kept", quiet)
    with pytest.raises(DevstackError, match="could not be written: No such file"):
        backup(state, tmp_path / "nowhere" / "kept", quiet)
    (state.folder / "gateway/accounts.db-wal").unlink()
    (state.folder / "gateway/accounts.db").write_bytes(NOISE)
    with pytest.raises(DevstackError, match=r"accounts\.db is damaged, or .*no backup was made"):
        backup(state, tmp_path / "kept", quiet)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state"]


def cut(body: bytes) -> bytes:
    return body[: len(body) // 2]


def without_its_end(body: bytes) -> bytes:
    return body[:-4]


def with_another_byte(body: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]


def something_else(_: bytes) -> bytes:
    return b"It was a dark and stormy night."


def another_archive(_: bytes) -> bytes:
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            tar.addfile(tarfile.TarInfo("api-key"))
        return buffer.getvalue()


def with_a_way_out(body: bytes) -> bytes:
    """The same, and an entry that would be written beside the folder."""
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w") as tar, tarfile.open(fileobj=io.BytesIO(body)) as old:
            for entry in old:
                tar.addfile(entry, old.extractfile(entry))
            evil = tarfile.TarInfo("../evil")
            evil.size = 4
            tar.addfile(evil, io.BytesIO(b"evil"))
        return gzip.compress(buffer.getvalue(), 1)


def test_a_restore_that_fails_half_way_leaves_the_folder_as_it_was(state: StateDir, tmp_path: Path) -> None:
    file = tmp_path / "kept"
    backup(state, file, quiet)
    again = StateDir(tmp_path / "again")
    names = {one.name for one in state.folder.iterdir()}
    last = max(names - {"supervisor.pid", "logs"})
    rename, renamed = Path.rename, list[str]()

    def fails_at_last(path: Path, target: Path) -> Path:
        if path.name == last and not renamed.count("failed"):
            renamed.append("failed")
            raise OSError(errno.EIO, "Input/output error")
        renamed.append(path.name)
        return rename(path, target)

    with (
        patch.object(Path, "rename", fails_at_last),
        pytest.raises(DevstackError, match="nothing was changed"),
    ):
        restore(again, file, quiet)
    assert len(renamed) > 1  # something had been moved already
    assert not {one.name for one in again.folder.iterdir()} - {"supervisor.pid", "logs"}
    restore(again, file, quiet)


BREAKERS = (cut, without_its_end, with_another_byte, something_else, another_archive, with_a_way_out)


@pytest.mark.parametrize("breaking", BREAKERS)
def test_a_broken_file_restores_nothing(
    state: StateDir, tmp_path: Path, breaking: Callable[[bytes], bytes]
) -> None:
    file = tmp_path / "kept"
    backup(state, file, quiet)
    file.write_bytes(breaking(file.read_bytes()))
    again = StateDir(tmp_path / "again")
    with pytest.raises(DevstackError, match=r"is no backup, or is damaged .*nothing was restored") as refused:
        restore(again, file, quiet)
    assert "\n" not in str(refused.value)
    assert {path.name for path in again.folder.iterdir()} <= {"logs", "supervisor.pid"}
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("what", ["backup", "restore"])
def test_a_full_disk_leaves_nothing(state: StateDir, tmp_path: Path, what: str) -> None:
    """A disk that takes no more: by a limit of the process, which needs no mount."""
    file = tmp_path / "kept"
    backup(state, file, quiet)
    program = (
        "import sys\nfrom pathlib import Path\nfrom penstock.devstack import backup\n"
        "from penstock.devstack.errors import DevstackError\nfrom penstock.devstack.state import StateDir\n"
        "try:\n    getattr(backup, sys.argv[1])(StateDir(Path(sys.argv[2])), Path(sys.argv[3]), print)\n"
        "except DevstackError as error:\n    sys.exit(str(error))\n"
    )
    folder, target = (state.folder, tmp_path / "new") if what == "backup" else (tmp_path / "again", file)
    done = subprocess.run(  # noqa: S603  # ours
        [sys.executable, "-c", program, what, folder, target],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "could not be" in done.stderr
    assert "File too large" in done.stderr
    assert not [path for path in tmp_path.iterdir() if path.name not in ("state", "kept", "again")]
    if what == "restore":
        assert {path.name for path in folder.iterdir()} <= {"logs", "supervisor.pid"}


def test_a_restore_that_was_killed_can_be_made_again(state: StateDir, tmp_path: Path) -> None:
    file = tmp_path / "kept"
    backup(state, file, quiet)
    again = StateDir(tmp_path / "again")
    (again.folder / ".restoring" / "gateway").mkdir(parents=True)
    (again.folder / ".restoring" / "gateway" / "half").touch()
    restore(again, file, quiet)
    assert again.api_key.read_text() == "sk-secret\n"
    assert not (again.folder / "gateway" / "half").exists()
