"""One real stack for all end-to-end tests: Kafka, the model, every service, in a folder of its own."""

import os
from collections.abc import Iterator

import pytest

from e2e.stack import ROOT, Stack
from libs.database.tests.servers import POSTGRES, REDIS, new_database, running_postgres, running_redis
from libs.telemetry.tests.receiver import Receiver
from penstock.devstack.state import StateDir


@pytest.fixture(scope="session")
def collector() -> Iterator[Receiver]:
    """What the stack exports, all of it, as an independent collector gets it."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Settings of the stack's parts: what `PENSTOCK_TEST_STACK_X` says for `PENSTOCK_X`.

    With `PENSTOCK_TEST_SERVERS=1` (`make test-servers`) databases and the queue are on PostgreSQL and Redis,
    started for this run.
    """
    prefix = "PENSTOCK_TEST_STACK_"
    given = {f"PENSTOCK_{k.removeprefix(prefix)}": v for k, v in os.environ.items() if k.startswith(prefix)}
    if not os.environ.get("PENSTOCK_TEST_SERVERS"):
        yield given
        return
    assert POSTGRES, "PostgreSQL is not installed: apt-get install postgresql"
    assert REDIS, "Redis is not installed: apt-get install redis-server"
    redis = tmp_path_factory.mktemp("redis")
    with running_postgres(tmp_path_factory.mktemp("postgres")) as server, running_redis(redis) as queue:
        made = {
            "PENSTOCK_ACCOUNTS_DB": new_database(server),
            "PENSTOCK_DOCUMENTS_DB": new_database(server),
            "PENSTOCK_CELERY_BROKER": queue,
        }
        yield made | given


@pytest.fixture(scope="session")
def stack(
    tmp_path_factory: pytest.TempPathFactory, collector: Receiver, parts: dict[str, str]
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PENSTOCK_", "OTEL_"))}
    env = inherited | {
        "PENSTOCK_STATE": str(folder),
        "PENSTOCK_GATEWAY_PORT": "0",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "500",
        **parts,
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
