"""One real stack for all end-to-end tests: Kafka, the model, every service, in a folder of its own."""

import os
from collections.abc import Iterator

import pytest

from e2e.stack import ROOT, Stack
from libs.telemetry.tests.receiver import Receiver
from penstock.devstack.state import StateDir


@pytest.fixture(scope="session")
def collector() -> Iterator[Receiver]:
    """What the stack exports, all of it, as an independent collector gets it."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, collector: Receiver) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PENSTOCK_", "OTEL_"))}
    env = inherited | {
        "PENSTOCK_STATE": str(folder),
        "PENSTOCK_GATEWAY_PORT": "0",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "500",
    }
    stack = Stack(env, StateDir(folder))
    started = stack.run("up", "--detach", seconds=200)
    assert started.returncode == 0, started.stdout + started.stderr
    try:
        yield stack
    finally:
        stopped = stack.run("down")
    assert stopped.returncode == 0, stopped.stderr


@pytest.fixture(scope="session")
def indexed(stack: Stack) -> Stack:
    """The stack with the sample documents."""
    ingested = stack.run("ingest", str(ROOT / "e2e" / "sample"))
    assert ingested.returncode == 0, ingested.stdout + ingested.stderr
    assert "13 documents" in ingested.stdout
    return stack
