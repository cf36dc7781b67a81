"""Parses each file in a process of its own that has limits and no network (port: Parser).

A fork server that has the parsers loaded forks a child for each file. It was not forked from us but started,
so no child has our connections, and none of our threads' locks.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import ModuleType

import msgspec
import structlog

from penstock.ingestion.adapters.parsing.builder import MAX_TEXT, too_much_text
from penstock.ingestion.adapters.parsing.document import check_size, parse_document
from penstock.ingestion.adapters.parsing.limits import Isolation, Limits, available_isolation, confine
from penstock.ingestion.domain.parsed import FailureCode, Parsed, ParseFailed

MAX_ANSWER = 100_000_000
"""Bytes that a child may answer: the text, and the places and headings of its blocks."""

_PRELOADED = "penstock.ingestion.adapters.parsing.preload"
_GRACE_S = 2.0
log = structlog.get_logger()


class _Failure(msgspec.Struct):
    code: FailureCode
    message: str


class _Answer(msgspec.Struct):
    """One of both."""

    parsed: Parsed | None = None
    failure: _Failure | None = None


_DECODER = msgspec.msgpack.Decoder(_Answer)


class SandboxedParser:
    """Parses with `parse`, a function that the child can import by its name."""

    def __init__(
        self,
        parse: Callable[[Path, str], Parsed] = parse_document,
        limits: Limits | None = None,
        isolation: Isolation | None = None,
    ) -> None:
        self._parse = parse
        self._limits = limits or Limits()
        self._isolation = isolation or available_isolation()
        if missing := self._isolation.missing():
            log.warning("parser_protections_missing", missing=missing)
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload([_PRELOADED])

    async def parse(self, path: Path, file_name: str) -> Parsed:
        """Return the parsed file; ParseFailed if it holds nothing readable or took more than the limits.

        OSError if there is no such file. Cancelled, it ends the child.
        """
        check_size(path)
        reader, writer = self._context.Pipe(duplex=False)
        child = self._context.Process(
            target=_child,
            args=(writer, self._parse, path, file_name, self._limits, self._isolation),
            daemon=True,
        )
        # Milliseconds; the first time seconds, while the fork server starts.
        starting = asyncio.create_task(asyncio.to_thread(_start, child, writer))
        answer = None
        try:
            await asyncio.shield(starting)
            async with asyncio.timeout(self._limits.wall_s):
                answer = await _read(reader)
        except TimeoutError:
            raise _over_limits("time") from None
        finally:
            await starting  # also when cancelled: only what has started can be ended
            reader.close()
            exit_code = _end(child, answered=answer is not None)
        return _judge(answer, exit_code)


def _start(child: ForkServerProcess, writer: Connection) -> None:
    try:
        with _no_main_module():
            child.start()
    finally:
        writer.close()  # ours: so that the pipe ends when the child does


@contextmanager
def _no_main_module() -> Iterator[None]:
    """multiprocessing runs the program's main module anew in each child; the parsers need none of it."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


async def _read(pipe: Connection) -> bytes:
    """All that the child answers, until it closes its end or dies; hardly more than `MAX_ANSWER`."""
    descriptor = pipe.fileno()
    os.set_blocking(descriptor, False)
    answer = bytearray()
    while len(answer) <= MAX_ANSWER:
        try:
            part = os.read(descriptor, 1 << 20)
        except BlockingIOError:
            await _readable(descriptor)
            continue
        if not part:
            break
        answer += part
    return bytes(answer)


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)


def _end(child: ForkServerProcess, answered: bool) -> int | None:
    """End a child that has answered or must not go on: its exit code, negative for a signal."""
    child.join(_GRACE_S if answered else 0)
    if child.exitcode is None:
        child.kill()
        child.join()
    return child.exitcode


def _judge(answer: bytes, exit_code: int | None) -> Parsed:
    try:
        decoded = _DECODER.decode(answer)
    except msgspec.DecodeError:  # it died amid its answer or before
        raise _over_limits("time" if exit_code == -signal.SIGXCPU else "memory, or a crash") from None
    if decoded.failure is not None:
        raise ParseFailed(decoded.failure.code, decoded.failure.message)
    if decoded.parsed is None:
        raise _over_limits("its answer was empty")
    return decoded.parsed


def _over_limits(which: str) -> ParseFailed:
    return ParseFailed(
        "invalid_file",
        f"The file could not be parsed within the limits ({which}). It may be damaged; else split it.",
    )


def _child(
    writer: Connection,
    parse: Callable[[Path, str], Parsed],
    path: Path,
    file_name: str,
    limits: Limits,
    isolation: Isolation,
) -> None:
    confine(limits, isolation)
    answer = memoryview(_answer(parse, path, file_name))
    while answer:
        answer = answer[os.write(writer.fileno(), answer) :]


def _answer(parse: Callable[[Path, str], Parsed], path: Path, file_name: str) -> bytes:
    try:
        parsed = parse(path, file_name)
        if len(parsed.text.encode()) > MAX_TEXT:
            raise too_much_text()
        answer = msgspec.msgpack.encode(_Answer(parsed))
        if len(answer) > MAX_ANSWER:
            raise too_much_text()
        return answer
    except ParseFailed as error:
        failure = error
    except MemoryError:
        failure = _over_limits("memory")
    except RecursionError:
        failure = ParseFailed("invalid_file", "The file is nested too deeply.")
    # Last line of defence: parsers meet files that their authors did not think of. Its text may hold content.
    except Exception as error:  # noqa: BLE001
        failure = ParseFailed("invalid_file", f"The file is damaged ({type(error).__name__} in its parser).")
    return msgspec.msgpack.encode(_Answer(failure=_Failure(failure.code, failure.message)))
