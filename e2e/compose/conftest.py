"""The compose stack that runs here, or one that is started for these tests and removed after them."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from e2e.compose.engine import OURS, SERVERS, Compose, docker, engine_answers, eventually

STUB = Path(__file__).with_name("compose.stub.yaml")
_HERE = str(Path(__file__).parent)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip all of them where they cannot run."""
    ours = [item for item in items if str(item.path).startswith(_HERE)]
    if ours and not engine_answers():
        for item in ours:
            item.add_marker(pytest.mark.skip(reason="No Docker engine answers (`docker info`)"))


def offline() -> str:
    """Return OFFLINE as it is set, else 1 where the stand-ins were built."""
    built = docker("image", "ls", "-q", "penstock-offline/kafka").strip()
    return os.environ.get("OFFLINE") or ("1" if built else "0")


@pytest.fixture(scope="session")
def running() -> Iterator[Compose]:
    """The stack with our own model. One that ran before stays."""
    stack = Compose(os.environ.get("PENSTOCK_PROJECT") or "penstock", env={"OFFLINE": offline()})
    there_before = bool(stack.container("gateway"))
    if not there_before:
        stack.run("up")
    stack.env["BUILD"] = "0"  # from now on
    try:
        yield stack
    finally:
        if not there_before:
            stack.run("down")
            assert stack.leftovers() == []


@pytest.fixture
def stack(running: Compose) -> Compose:
    """It, with everything ready, whatever the test before has killed."""
    for service in (*SERVERS, *OURS):
        eventually(partial(running.healthy, service), 180, f"{service} is healthy")
    return running


@pytest.fixture(scope="module")
def with_stub(running: Compose) -> Iterator[Compose]:
    """The same stack with answers that are known beforehand, and afterwards with our model again."""
    stack = Compose(running.project, (STUB,), running.env)
    try:
        stack.run("up")
        yield stack
    finally:
        running.run("up")
