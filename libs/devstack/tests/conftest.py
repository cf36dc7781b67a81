"""Small real processes to supervise, and the reports a user would see."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from penstock.devstack.readiness import Readiness
from penstock.devstack.service import ServiceSpec
from penstock.devstack.state import ServiceStatus

SLEEP = "import time; time.sleep(60)"


class RecordedScreen:
    """Keeps what the supervisor reported (port: Screen)."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.states: list[tuple[str, ...]] = []

    def changed(self, services: Sequence[ServiceStatus]) -> None:
        self.states.append(tuple(service.state for service in services))

    def event(self, text: str) -> None:
        self.events.append(text)


@pytest.fixture
def screen() -> RecordedScreen:
    return RecordedScreen()


MakeSpec = Callable[..., ServiceSpec]


@pytest.fixture
def make_spec(tmp_path: Path) -> MakeSpec:
    """Python code as a service, ready at once or, with ``ready_file``, when ``<name>.ready`` exists."""

    def make(
        name: str, code: str = SLEEP, *, ready_file: bool = False, stop_last: bool = False
    ) -> ServiceSpec:
        marker = tmp_path / f"{name}.ready"

        async def probe() -> Readiness:
            ready = marker.exists() or not ready_file
            return Readiness(ready, () if ready else ("its file",))

        return ServiceSpec(
            name=name,
            command=(sys.executable, "-S", "-c", code),
            probe=probe,
            log_file=tmp_path / f"{name}.log",
            env={"TMP_FOLDER": str(tmp_path)},
            stop_last=stop_last,
        )

    return make


@pytest.fixture
def until() -> Callable[..., object]:
    """``await until(condition)``: polls it for at most half a minute."""

    async def wait(condition: Callable[[], bool], within: float = 30.0) -> None:
        async with asyncio.timeout(within):
            while not condition():  # noqa: ASYNC110 other processes set no event of ours
                await asyncio.sleep(0.01)

    return wait


@pytest.fixture
def gone() -> Iterator[Callable[[int], bool]]:
    """``gone(pid)``: no such process, or only its unreaped entry. What is left at the end is killed."""
    seen: set[int] = set()

    def is_gone(pid: int) -> bool:
        seen.add(pid)
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    yield is_gone
    for pid in seen:
        if not is_gone(pid):
            psutil.Process(pid).kill()
