"""The whole stack with TLS, users and ACLs at its broker."""

import os
from collections.abc import Iterator

import pytest

from e2e.stack import Stack
from penstock.devstack.state import StateDir


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("secure")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PENSTOCK_", "OTEL_"))}
    own = {"PENSTOCK_STATE": str(folder), "PENSTOCK_GATEWAY_PORT": "0"}
    own["PENSTOCK_KAFKA_CLIENT"] = os.environ.get("PENSTOCK_TEST_KAFKA_CLIENT", "")
    stack = Stack(inherited | own, StateDir(folder))
    started = stack.run("up", "--detach", "--secure", seconds=300)
    try:
        assert started.returncode == 0, started.stdout + started.stderr
        yield stack
    finally:
        stack.run("down")
