"""The stack's processes, from outside: stopped in the middle of something, or killed."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from e2e.stack import Stack


def processes_of(stack: Stack, service: str) -> list[psutil.Process]:
    """A service's process and those it has started."""
    [pid] = [one.pid for one in stack.status.services if one.name == service]
    assert pid is not None
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


@contextmanager
def frozen(stack: Stack, service: str) -> Iterator[None]:
    """Keep a service from doing anything, however fast it is: what was in the middle stays so."""
    stopped = processes_of(stack, service)
    for process in stopped:
        process.suspend()
    try:
        yield
    finally:
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def kill(stack: Stack, service: str) -> None:
    """As `kill -9` does, or a machine that goes away."""
    for process in processes_of(stack, service):
        process.kill()
