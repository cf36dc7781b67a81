"""What a parser may not do, and what becomes of one that tries: real children, real limits."""

import asyncio
import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import structlog
import uvloop

from penstock.ingestion.adapters.parsing import limits
from penstock.ingestion.adapters.parsing.limits import Isolation, Limits, available_isolation
from penstock.ingestion.adapters.parsing.sandbox import SandboxedParser
from penstock.ingestion.domain.parsed import Block, Kind, Parsed, ParseFailed

TEXT = "# Title\n\nSome words.\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "blob"
    path.write_text(TEXT)
    return path


def said(text: str) -> Parsed:
    return Parsed("", text, ())


# Parsers for the tests: the child imports them by name.


def hog_memory(_path: Path, _name: str) -> Parsed:
    hoard = [bytes(1 << 20) for _ in range(4_000)]
    return said(str(len(hoard)))


def loop_for_ever(_path: Path, _name: str) -> Parsed:
    while True:
        pass


def sleep_long(_path: Path, _name: str) -> Parsed:
    time.sleep(60)
    return said("awake")


def crash(_path: Path, _name: str) -> Parsed:
    ctypes.string_at(0)
    return said("survived")


def recurse(path: Path, file_name: str) -> Parsed:
    return recurse(path, file_name)


def fail_with_content(path: Path, _name: str) -> Parsed:
    raise ValueError(path.read_text())


def talk(_path: Path, _name: str) -> Parsed:
    return said("x" * 20_000_001)


def inspect(_path: Path, _name: str) -> Parsed:
    """What this process has: its descriptors, and the interfaces of its network."""
    files = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return said("\n".join(files) + "\n--\n" + Path("/proc/net/dev").read_text())


def try_all(path: Path, _name: str) -> Parsed:
    """Everything that is refused; the names of what was not."""
    attempts = {
        "socket": lambda: socket.socket(),
        "resolve": lambda: socket.getaddrinfo("localhost", 80),
        "subprocess": lambda: subprocess.run(["true"], check=True),  # noqa: S607
        "system": lambda: os.system("true"),  # noqa: S605, S607
        "exec": lambda: os.execv("/bin/true", ["true"]),  # noqa: S606
        "fork": lambda: os.fork(),
        "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
        "kill": lambda: os.kill(os.getppid(), signal.SIGTERM),
        "write": lambda: path.write_text("changed"),
        "create": lambda: (path.parent / "new").touch(),
        "remove": lambda: path.unlink(),
        "rename": lambda: path.rename(path.parent / "other"),
    }
    allowed = []
    for name, attempt in attempts.items():
        try:
            attempt()
        except PermissionError:
            continue
        allowed.append(name)
    return said(f"allowed: {allowed}")


def tell_limits(path: Path, name: str) -> Parsed:
    """Whether memory is limited, and what `try_all` says."""
    unlimited = resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
    return said(f"memory unlimited: {unlimited}, {try_all(path, name).text}")


def tell_main(_path: Path, _name: str) -> Parsed:
    return said(str(getattr(sys.modules["__main__"], "__file__", "none")))


async def test_a_file_is_parsed_in_a_child(file: Path) -> None:
    assert await SandboxedParser().parse(file, "guide.md") == Parsed(
        "Title", TEXT, (Block(Kind.HEADING, 0, 7), Block(Kind.TEXT, 9, 20)), language=""
    )


def test_it_works_under_uvloop_too(file: Path) -> None:
    assert uvloop.run(SandboxedParser().parse(file, "guide.md")).title == "Title"


async def test_many_at_once(file: Path) -> None:
    parser = SandboxedParser()
    parsed = await asyncio.gather(*(parser.parse(file, f"{number}.txt") for number in range(8)))
    assert [one.title for one in parsed] == [str(number) for number in range(8)]


async def test_a_failure_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(b"\x89PNG\r\n")
    with pytest.raises(ParseFailed) as failed:
        await SandboxedParser().parse(path, "a.png")
    assert failed.value.code == "unsupported_file"
    assert "an image" in failed.value.message


@pytest.mark.parametrize(("size", "code"), [(0, "empty_file"), (50_000_001, "file_too_large")])
async def test_empty_and_large_files_are_refused_before(tmp_path: Path, size: int, code: str) -> None:
    path = tmp_path / "blob"
    with path.open("wb") as file:
        file.truncate(size)
    with pytest.raises(ParseFailed, match=code):
        await SandboxedParser(loop_for_ever).parse(path, "a.txt")


async def test_no_such_file_is_no_fault_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await SandboxedParser().parse(tmp_path / "gone", "a.txt")


async def test_a_hog_of_memory_fails(file: Path) -> None:
    with pytest.raises(ParseFailed, match=r"invalid_file.*limits \(memory\)"):
        await SandboxedParser(hog_memory, Limits(memory=100 << 20)).parse(file, "a.txt")


async def test_an_endless_loop_ends_by_its_cpu_time(file: Path) -> None:
    with pytest.raises(ParseFailed, match=r"invalid_file.*limits \(time\)"):
        await SandboxedParser(loop_for_ever, Limits(cpu_s=1)).parse(file, "a.txt")


async def test_one_that_waits_ends_by_the_clock(file: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(ParseFailed, match=r"invalid_file.*limits \(time\)"):
        await SandboxedParser(sleep_long, Limits(wall_s=1)).parse(file, "a.txt")
    assert time.monotonic() - begun < 30


async def test_a_crash_is_a_failure_of_the_file_only(file: Path) -> None:
    with pytest.raises(ParseFailed, match=r"invalid_file.*limits.*crash"):
        await SandboxedParser(crash).parse(file, "a.txt")
    assert (await SandboxedParser().parse(file, "a.md")).title == "Title"


async def test_endless_recursion_is_named(file: Path) -> None:
    with pytest.raises(ParseFailed, match=r"invalid_file.*nested too deeply"):
        await SandboxedParser(recurse).parse(file, "a.txt")


async def test_an_unforeseen_error_tells_nothing_of_the_content(file: Path) -> None:
    with pytest.raises(ParseFailed) as failed:
        await SandboxedParser(fail_with_content).parse(file, "a.txt")
    assert failed.value.message == "The file is damaged (ValueError in its parser)."


async def test_too_much_text_is_not_sent(file: Path) -> None:
    with pytest.raises(ParseFailed, match="file_too_large"):
        await SandboxedParser(talk).parse(file, "a.txt")


def test_network_processes_and_writing_are_refused(file: Path) -> None:
    assert asyncio.run(SandboxedParser(try_all).parse(file, "a.txt")).text == "allowed: []"
    assert file.read_text() == TEXT


@pytest.fixture
def connection() -> Iterator[socket.socket]:
    server = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(server.getsockname())
    os.set_inheritable(client.fileno(), True)
    yield client
    client.close()
    server.close()


async def test_the_child_has_none_of_our_connections(file: Path, connection: socket.socket) -> None:
    ours = os.readlink(f"/proc/self/fd/{connection.fileno()}")
    files, _, network = (await SandboxedParser(inspect).parse(file, "a.txt")).text.partition("\n--\n")
    assert ours.startswith("socket:")
    assert ours not in files
    if may_unshare():
        interfaces = [line.partition(":")[0].strip() for line in network.splitlines()[2:]]
        assert interfaces in (["lo"], [])  # none of ours, and this one is down


def may_unshare() -> bool:
    """Whether this kernel lets us make a network of our own, as it does not in some containers."""
    return subprocess.run(["unshare", "-Un", "true"], capture_output=True).returncode == 0  # noqa: S607


async def test_the_child_does_not_run_our_main_module(file: Path) -> None:
    assert "pytest" not in (await SandboxedParser(tell_main).parse(file, "a.txt")).text


async def test_a_cancelled_parse_leaves_no_child(file: Path) -> None:
    parsing = asyncio.create_task(SandboxedParser(sleep_long).parse(file, "a.txt"))
    await asyncio.sleep(1)
    parsing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await parsing
    servers = [child for child in psutil.Process().children() if "forkserver" in " ".join(child.cmdline())]
    assert servers
    assert [child for server in servers for child in server.children()] == []


@pytest.fixture
def no_linux(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on macOS: a C library without prctl and unshare, and no /proc."""
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    monkeypatch.setattr(limits, "_STATM", tmp_path / "statm")


def test_all_protections_are_available_on_linux() -> None:
    assert available_isolation().missing() == ()


@pytest.mark.usefixtures("no_linux")
def test_missing_protections_are_logged_once() -> None:
    with structlog.testing.capture_logs() as logged:
        parser = SandboxedParser()
    assert [(line["event"], line["log_level"]) for line in logged] == [
        ("parser_protections_missing", "warning")
    ]
    assert logged[0]["missing"] == (
        "end with its parent (prctl)",
        "network namespace (unshare)",
        "memory limit (/proc)",
    )
    assert parser


async def test_a_file_is_parsed_without_linux(file: Path) -> None:
    parser = SandboxedParser(isolation=Isolation(False, False, False))
    assert (await parser.parse(file, "guide.md")).title == "Title"


async def test_other_protections_hold_without_linux(file: Path) -> None:
    parsed = await SandboxedParser(tell_limits, isolation=Isolation(False, False, False)).parse(file, "a.txt")
    assert parsed.text == "memory unlimited: True, allowed: []"
