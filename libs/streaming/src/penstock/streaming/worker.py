"""One process that runs stages: settings, signals, health, waiting for Kafka, drain."""

import asyncio
import re
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import structlog
from pydantic import BeforeValidator
from pydantic_settings import NoDecode

from penstock.messages.backends import Backend, parse_backends
from penstock.messages.flows import Flow
from penstock.streaming.adapters.kafka import KafkaBroker
from penstock.streaming.adapters.kafka.cluster import missing_topics
from penstock.streaming.clock import BrokerClock
from penstock.streaming.connection import Cluster, KafkaSettings, as_connection
from penstock.streaming.errors import leaves
from penstock.streaming.event_loop import run_loop
from penstock.streaming.health import HealthServer
from penstock.streaming.offsets import Offsets
from penstock.streaming.ports import Broker, BrokerError, Consumer, Reader, Refused
from penstock.streaming.quarantine import Tolerance
from penstock.streaming.runner import Runner
from penstock.streaming.stage import Journaled, Stage
from penstock.telemetry.readiness import Readiness

KAFKA = "kafka"
RECORDS = "records"
_RETRY_SECONDS = 0.2
_NUMBERS = re.compile(r"\d+")


def _backends(value: object) -> object:
    return parse_backends(value) if isinstance(value, str) else value  # a default comes parsed


Backends = Annotated[tuple[Backend, ...], NoDecode, BeforeValidator(_backends)]
log = structlog.get_logger()


class WorkerSettings(KafkaSettings):
    """What every worker is told by its environment (`PENSTOCK_KAFKA` and so on)."""

    session_timeout_ms: int = 10_000
    """After how long a silent group member loses its partitions; the broker sets a lower bound."""
    health_host: str = "127.0.0.1"
    health_port: int = 0
    """Where `/livez` and `/readyz` are served; 0 picks a free port."""
    state: Path = Path(".penstock")
    """Directory for what must survive a restart."""
    instance: str = ""
    """Name of this replica, in what it writes; unset: its service's name."""
    invalid_run: int = Tolerance().run
    """So many invalid records in a row stop the service from taking more."""
    invalid_share: float = Tolerance().share
    """Such a share of invalid records, of the last few hundred, stops it as well."""


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a worker's coroutine to its end; exits with code 1 when the broker failed it."""
    failed = False
    try:
        run_loop(main)
    except* BrokerError as failures:
        log.error("broker_failed", errors=[str(error) for error in leaves(failures)])
        failed = True
    if failed:  # not from within `except*`, which makes a group of it, and Python a traceback of that
        raise SystemExit(1)


async def serve(
    stages: Sequence[Stage],
    flow: Flow,
    settings: WorkerSettings,
    readiness: Readiness,
    stop: asyncio.Event,
    clock: BrokerClock | None = None,
) -> None:
    """Run `stages` until `stop` is set, and then drain them; `/livez` and `/readyz` answer all the while.

    The topics of the service's `flow` are waited for. `readiness` must have the part "kafka". The `clock` is
    kept at the broker's time. A broker that is not there yet is waited for; one that fails later raises (a
    group of) BrokerError.
    """
    health = HealthServer(settings.health_host, settings.health_port, readiness)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(health.serve())
        try:
            cluster = settings.cluster
            readiness.waiting(KAFKA, f"connecting to {cluster}")
            if await wait_for("topics", lambda: topics_awaited(cluster, flow), readiness, stop):
                broker = KafkaBroker(cluster)
                await run_stages(stages, flow, settings, readiness, stop, clock or BrokerClock(), broker)
        finally:
            health.should_exit = True


def stop_on_signals() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def wait_for(
    part: str, check: Callable[[], Awaitable[str | None]], readiness: Readiness, stop: asyncio.Event
) -> bool:
    """Repeat `check`, which returns a reason to wait or None.

    Returns True when the part is ready, False when `stop` was set before. A reason is logged once,
    however the numbers in it change.
    """
    told = None
    while not stop.is_set():
        reason = await check()
        if reason is None:
            readiness.ready(part)
            return True
        readiness.waiting(part, reason)
        if (kind := _NUMBERS.sub("", reason)) != told:
            log.info("waiting", part=part, reason=reason)
            told = kind
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _RETRY_SECONDS)
    return False


async def run_stages(
    stages: Sequence[Stage],
    flow: Flow,
    settings: WorkerSettings,
    readiness: Readiness,
    stop: asyncio.Event,
    clock: BrokerClock,
    broker: Broker,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """Run `stages`, as `serve` does, on a broker whose topics stand."""
    written = [*(topic.name for topic in flow.writes), *(topic.dlq for topic in flow.handled)]
    producer = await broker.open_producer(written, clock)
    consumers: list[Consumer] = []
    readers: list[Reader] = []
    try:
        async with asyncio.TaskGroup() as tasks:
            for stage in stages:
                offsets = Offsets()
                consumer = await broker.open_consumer(
                    stage.name,
                    [topic.name for topic in stage.inputs],
                    offsets.committable,
                    settings.session_timeout_ms,
                )
                consumers.append(consumer)
                journal = None
                if isinstance(stage.processing, Journaled):
                    readers.append(journal := await broker.open_reader())
                instance = settings.instance or stage.name
                runner = Runner(
                    stage,
                    consumer,
                    producer,
                    offsets,
                    clock,
                    journal=journal,
                    instance=instance,
                    tolerance=Tolerance(settings.invalid_run, settings.invalid_share),
                    quarantined=partial(readiness.waiting, RECORDS),
                    session_seconds=settings.session_timeout_ms / 1000,
                    monotonic=monotonic,
                )
                tasks.create_task(runner.run(stop))
            tasks.create_task(wait_for(KAFKA, lambda: _group_reason(consumers), readiness, stop))
    finally:
        for reader in readers:
            await reader.close()
        await producer.close()


async def topics_awaited(cluster: Cluster, flow: Flow) -> str | None:
    """Return why the topics of a service cannot be used yet, or None: a check for `wait_for`."""
    try:
        missing = await missing_topics(cluster, flow.names)
    except Refused as error:
        return f"refused by {error}"
    except BrokerError as error:
        return f"no broker answers at {cluster} ({error})"
    if not missing:
        return None
    allowed = ", or this user may not see them" if as_connection(cluster).sasl else ""
    return f"{cluster} has no {', '.join(missing)}{allowed}"


async def _group_reason(consumers: Sequence[Consumer]) -> str | None:
    return None if all(consumer.joined for consumer in consumers) else "joining the consumer group"
