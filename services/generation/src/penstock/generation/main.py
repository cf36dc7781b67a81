"""Start the generation service."""

import asyncio
from typing import NamedTuple

from penstock.generation.adapters.tgi import TgiBackend
from penstock.generation.calls import reads_of, weight
from penstock.generation.cancellations import CancellationLog
from penstock.generation.domain.gather import pause
from penstock.generation.handler import Generation
from penstock.generation.pool import Pool
from penstock.generation.settings import Settings
from penstock.generation.stream_timeout import StreamTimeouts
from penstock.messages.flows import FLOWS
from penstock.messages.topics import CHAT_GENERATED, CHAT_RETRIEVED
from penstock.streaming import worker
from penstock.streaming.adapters.kafka import KafkaBroker
from penstock.streaming.clock import BrokerClock
from penstock.streaming.ports import Broker
from penstock.streaming.settings import read_settings
from penstock.streaming.share import Share
from penstock.streaming.stage import Journaled, Stage
from penstock.telemetry.instruments import watch_readiness, watched
from penstock.telemetry.readiness import Readiness
from penstock.telemetry.setup import set_up

BACKENDS = "backends"


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    settings = read_settings(Settings)
    set_up("generation")
    worker.run(_run(settings))


async def _run(settings: Settings) -> None:
    stop = worker.stop_on_signals()
    clock = BrokerClock()
    readiness = Readiness(worker.KAFKA, BACKENDS)
    backends = [
        TgiBackend(backend.url, settings.models, settings.key_of_backends, lambda: pause(pool.busy))
        for backend in settings.backends
    ]
    pool = Pool(backends)

    pool.share(Share())  # none before the group has given us partitions

    where = ", ".join(backend.url for backend in settings.backends)

    async def reason() -> str | None:
        await pool.check()
        return None if pool.is_reachable else f"no model server answers at {where}"

    parts = assemble(settings, pool, KafkaBroker(settings.cluster), clock)
    watch_readiness(readiness)
    with watched(reads_of(pool, parts.generation.loops)):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(worker.wait_for(BACKENDS, reason, readiness, stop))
            tasks.create_task(pool.watch(stop))
            tasks.create_task(parts.cancellations.run(stop))
            await worker.serve([parts.stage], FLOWS["generation"], settings, readiness, stop, clock)
    for backend in backends:
        await backend.close()


class Parts(NamedTuple):
    """What the service does, and who tells it which requests nobody wants any more."""

    stage: Stage
    generation: Generation
    cancellations: CancellationLog


def assemble(settings: Settings, pool: Pool, broker: Broker, clock: BrokerClock) -> Parts:
    """Return the service's parts, wired together."""
    cancellations = CancellationLog(lambda partition, start: broker.open_reader([partition], start), clock)
    timeouts = StreamTimeouts(first_token=settings.first_token_seconds, token=settings.stall_seconds)
    generation = Generation(pool, cancellations, timeouts, trace_content=settings.trace_content)
    journaled = Journaled(
        generation.handle, lambda: pool.slots, CHAT_GENERATED, generation.needs_no_slot, pool.share
    )
    stage = Stage("generation", (CHAT_RETRIEVED,), journaled, failures=CHAT_GENERATED, weigh=weight)
    return Parts(stage, generation, cancellations)


if __name__ == "__main__":
    main()
