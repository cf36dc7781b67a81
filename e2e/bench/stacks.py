"""What a run starts: a stack as `penstock up` starts it, and single servers beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from e2e.bench.errors import BenchError
from e2e.faults.stand import Setup, Stand, StandError
from penstock.devstack.death import die_with_parent
from penstock.devstack.feed import found_here, ingest_aloud, local
from penstock.devstack.root import find_root
from penstock.devstack.where import read_key
from penstock.messages.search import DEFAULT_STORE

_SUPERVISOR = "supervisor"
_STOP_S = 5.0
_DEADLINE_S = 300.0
"""Of a request: a slow machine makes a slow run, not a void one."""
_OURS = ("PENSTOCK_STATE", "PENSTOCK_GATEWAY_PORT", "PENSTOCK_BACKENDS", "PENSTOCK_EMBEDDINGS")


@dataclass(frozen=True)
class Stack:
    """A stack that is ready."""

    gateway: str
    key: str
    model: str
    kafka: str
    pids: dict[str, int]
    """By name; the supervisor's, too."""
    inference: str
    """URL of the model server: the stub or the local inference service."""
    stand: Stand


@asynccontextmanager
async def running_stack(console: Console, folder: Path, setup: Setup) -> AsyncIterator[Stack]:
    """A stack with its state in `folder`, with the stub's documents in its index, or with the real model.

    It takes the user's settings from the environment, but for those that make it one of its own.
    """
    asked = {name: value for name, value in os.environ.items() if name.startswith("PENSTOCK_")}
    settings = {name: value for name, value in asked.items() if name not in _OURS}
    setup = replace(setup, deadline_s=_DEADLINE_S, settings=settings | dict(setup.settings))
    stand = Stand(setup, folder, console.print)
    try:
        await stand.start()
        status = stand.status()
        pids = {service.name: service.pid for service in status.services if service.pid is not None}
        yield Stack(
            gateway=status.gateway,
            key=read_key(stand.state),
            model=stand.model,
            kafka=status.kafka,
            pids={**pids, _SUPERVISOR: status.pid},
            inference=status.backends.removeprefix("tgi+"),
            stand=stand,
        )
    except StandError as error:
        raise BenchError(str(error)) from error
    finally:
        await stand.stop()


async def ingest_sample(console: Console, stack: Stack) -> None:
    """Bring the sample documents into the index."""
    files = found_here([str(find_root() / "e2e" / "sample")])
    await ingest_aloud(console, stack.gateway, stack.key, DEFAULT_STORE, local(files), len(files))


@dataclass(frozen=True)
class Server:
    """A server in a process of its own."""

    url: str
    pid: int


@contextmanager
def serving(module: str, *arguments: str) -> Iterator[Server]:
    """Run a module of this tree that prints its URL as soon as it answers."""
    process = subprocess.Popen(  # noqa: S603  # ours
        [sys.executable, "-m", module, *arguments],
        cwd=find_root(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=die_with_parent(os.getpid()),
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            raise BenchError(f"{module} did not start (code {process.wait()})")
        yield Server(url, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
