"""One file that holds a local stack's state, and a state made from it again.

The stack must be down: then Kafka's log, the databases and the blobs are of one moment, and no part of
them needs a protocol of its own. The file is a gzipped tar, whose checksum says whether it is whole. Left
out is what is made anew: logs, models, and the index, which is read from Kafka's log.

Neither half of it is ever left behind: a backup gets its name when it is complete, a state its place.
"""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from importlib.metadata import version
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO
from zlib import error as ZlibError  # noqa: N812  # a class, whatever its name

import msgspec

from penstock.devstack.doctor import words
from penstock.devstack.errors import DevstackError
from penstock.devstack.state import StateDir

FORMAT = 1
_ABOUT = "penstock-backup.json"
_PROCESS = frozenset(
    {"logs", "models", "scale-requests", "wishes", "stack.json", "stack.partial", "supervisor.pid"}
)
"""What a state folder holds that is not state: neither kept, nor in the way of a restore."""
_ELSEWHERE = {
    "PENSTOCK_KAFKA": "the topics",
    "PENSTOCK_ACCOUNTS_DB": "the accounts database",
    "PENSTOCK_DOCUMENTS_DB": "the documents database",
    "PENSTOCK_BLOBS": "the blobs",
}
"""Settings that put a part elsewhere. Qdrant is not among them: its index is made anew from the topics."""
_INDEX = "index"
_BESIDE_A_DATABASE = (".db-wal", ".db-shm", ".db-journal")
_RESTORING = ".restoring"
_ROOM = 1024 * 1024
_BROKEN = (EOFError, gzip.BadGzipFile, ZlibError, tarfile.TarError, msgspec.DecodeError)


class About(msgspec.Struct, frozen=True, kw_only=True):
    """The first entry of a backup: what wrote it, when (Unix seconds), and the size of its files."""

    format: int
    version: str
    made: float
    bytes: int


def backup(state: StateDir, file: Path, say: Callable[[str], None]) -> int:
    """Writes the state into ``file``, which only its owner may read; returns its size in bytes.

    DevstackError, and no file, if a stack runs here, there is no state, the file is there already, a database
    is damaged, or the disk is full.
    """
    if not _state_of(state.folder):
        raise DevstackError(f"Nothing to keep: {state.folder} holds no state")
    if file.exists():
        raise DevstackError(f"{file} is there already: name another file, or move it away")
    if state.folder.resolve() in file.absolute().resolve().parents:
        raise DevstackError(
            f"{file} lies in the state folder itself: name a file elsewhere, best on another disk"
        )
    partial = file.with_name(f".{file.name}.partial")
    try:
        with _alone(state), _databases(state.folder, file.parent) as copies:
            _write(state.folder, partial, copies, say)
        partial.rename(file)
    except OSError as error:
        raise DevstackError(f"{file} could not be written: {_why(error)}; nothing was left of it") from error
    finally:
        partial.unlink(missing_ok=True)
    return file.stat().st_size


def restore(state: StateDir, file: Path, say: Callable[[str], None]) -> None:
    """Makes a state from a backup, in a folder that holds none.

    DevstackError, and the folder as it was, if a stack runs here, the folder holds a state, the file is no
    backup or is damaged, or the disk is full.
    """
    if found := _state_of(state.folder):
        raise DevstackError(
            f"{state.folder} holds a state ({', '.join(found[:3])}, …): move it away first, for example"
            f" mv {state.folder} {state.folder}.old"
        )
    coming = state.folder / _RESTORING
    try:
        with file.open("rb") as given, _alone(state):
            shutil.rmtree(coming, ignore_errors=True)  # of a restore that was killed
            _read(given, coming, say)
            _move(coming, state.folder)
    except _BROKEN as error:
        raise DevstackError(f"{file} is no backup, or is damaged ({error}): nothing was restored") from error
    except OSError as error:
        raise DevstackError(f"{file} could not be restored: {_why(error)}; nothing was changed") from error
    finally:
        shutil.rmtree(coming, ignore_errors=True)


def _move(coming: Path, folder: Path) -> None:
    """Move what lies in one folder to another, all of it or, with an OSError, nothing."""
    moved = list[str]()
    try:
        for entry in sorted(coming.iterdir()):
            entry.rename(folder / entry.name)
            moved.append(entry.name)
    except OSError:
        for name in moved:
            (folder / name).rename(coming / name)
        raise


def elsewhere(environ: Mapping[str, str]) -> list[str]:
    """What the settings have put outside the state folder, and a backup therefore does not hold."""
    return [f"{what} ({setting})" for setting, what in _ELSEWHERE.items() if environ.get(setting)]


def _state_of(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(one.name for one in folder.iterdir() if one.name not in _PROCESS | {_RESTORING})


@contextmanager
def _alone(state: StateDir) -> Iterator[None]:
    """Holds the supervisor's lock, so that no stack starts meanwhile."""
    if (pid := state.supervisor_pid()) is not None:
        raise DevstackError(f"A stack runs here (pid {pid}): stop it first, with `penstock down`")
    with state.supervising():
        yield


@contextmanager
def _databases(folder: Path, beside: Path) -> Iterator[dict[Path, Path]]:
    """A copy of each SQLite file, made by SQLite itself: with what only its write-ahead log holds."""
    with tempfile.TemporaryDirectory(dir=beside, prefix=".penstock-backup-") as temporary:
        originals = sorted(folder.rglob("*.db"))
        # SQLite would only say that something went wrong with a disk.
        _raise_if_no_room(sum(path.stat().st_size for path in folder.rglob("*.db*")), beside)
        copies = {}
        for number, original in enumerate(originals):
            copy = Path(temporary) / f"{number}.db"
            try:
                _copy_database(original, copy)
            except sqlite3.Error as error:
                raise DevstackError(
                    f"{original} is damaged, or could not be copied ({error}): no backup was made"
                ) from error
            copy.chmod(original.stat().st_mode & 0o777)
            copies[original] = copy
        yield copies


def _copy_database(original: Path, copy: Path) -> None:
    with closing(sqlite3.connect(original)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        [said] = target.execute("PRAGMA quick_check(1)").fetchone()
        if said != "ok":
            raise sqlite3.DatabaseError(said)


def _write(folder: Path, partial: Path, copies: dict[Path, Path], say: Callable[[str], None]) -> None:
    entries = [(path, copies.get(path, path)) for path in _entries(folder)]
    size = sum(source.stat().st_size for _, source in entries if source.is_file())
    about = About(format=FORMAT, version=version("penstock-devstack"), made=time.time(), bytes=size)
    say(f"{len(entries)} files and folders, {words.size(size)}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as tar:
            body = msgspec.json.encode(about)
            first = tarfile.TarInfo(_ABOUT)
            first.size = len(body)
            tar.addfile(first, BytesIO(body))
            for path, source in entries:
                tar.add(source, str(path.relative_to(folder)), recursive=False)
        file.flush()
        os.fsync(file.fileno())


def _entries(folder: Path) -> Iterator[Path]:
    """Everything to keep, folders before what is in them; links and sockets are nobody's state."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if parts[0] in _PROCESS | {_RESTORING} or _INDEX in parts[:2]:
            continue
        if path.name.endswith(_BESIDE_A_DATABASE) or path.is_symlink():
            continue
        if path.is_file() or path.is_dir():
            yield path


def _read(given: IO[bytes], coming: Path, say: Callable[[str], None]) -> None:
    with gzip.GzipFile(fileobj=given) as unzipped, tarfile.open(fileobj=unzipped, mode="r|") as tar:
        first = tar.next()
        body = tar.extractfile(first) if first is not None and first.name == _ABOUT else None
        if body is None:
            raise tarfile.ReadError(f"it does not begin with {_ABOUT}")
        about = msgspec.json.decode(body.read(), type=About)
        if about.format != FORMAT:
            raise DevstackError(
                f"The backup is of format {about.format}, and this version reads {FORMAT} only"
            )
        coming.mkdir()
        _raise_if_no_room(about.bytes, coming)
        made = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(about.made))
        say(f"made {made} by version {about.version}, {words.size(about.bytes)}")
        while (entry := tar.next()) is not None:
            _extract(tar, entry, coming)
        while unzipped.read(65_536):  # up to the checksum
            pass


def _extract(tar: tarfile.TarFile, entry: tarfile.TarInfo, coming: Path) -> None:
    name = PurePosixPath(entry.name)
    if name.is_absolute() or ".." in name.parts or not (entry.isfile() or entry.isdir()):
        raise tarfile.ReadError(f"{entry.name!r} does not belong in a backup")
    place = coming / name
    if entry.isdir():
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(entry.mode & 0o700 | 0o700)
        return
    source = tar.extractfile(entry) or BytesIO()  # None only for what is no file
    place.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, entry.mode & 0o777), "wb") as file:
        shutil.copyfileobj(source, file)


def _raise_if_no_room(size: int, folder: Path) -> None:
    needed, free = size + _ROOM, shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(errno.ENOSPC, f"it needs {words.size(needed)}, and {words.size(free)} are free")


def _why(error: OSError) -> str:
    return f"{error.strerror or error}" + (f" ({error.filename})" if error.filename else "")
