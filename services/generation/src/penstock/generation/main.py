"""Start the generation service."""

import asyncio

from penstock.generation.adapters.tgi import SharedTransport, TgiBackend, use_transport
from penstock.generation.handler import Generation
from penstock.generation.pool import Pool
from penstock.generation.settings import Settings
from penstock.messages.topics import CHAT_GENERATED, CHAT_RETRIEVED
from penstock.streaming import worker
from penstock.streaming.stage import Each, Stage
from penstock.telemetry.readiness import Readiness
from penstock.telemetry.setup import set_up

BACKENDS = "backends"


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    settings = worker.read_settings(Settings)
    set_up("generation")
    worker.run(_run(settings))


async def _run(settings: Settings) -> None:
    stop = worker.stop_on_signals()
    readiness = Readiness(worker.KAFKA, BACKENDS)
    transport = SharedTransport()
    use_transport(transport)
    pool = Pool([TgiBackend(backend.url, transport) for backend in settings.backends])

    where = ", ".join(backend.url for backend in settings.backends)

    async def reason() -> str | None:
        await pool.check()
        return None if pool.slots else f"no model server answers at {where}"

    stage = Stage(
        "generation",
        (CHAT_RETRIEVED,),
        Each(Generation(pool).handle, lambda: pool.slots),
        failures=CHAT_GENERATED,
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(worker.wait_for(BACKENDS, reason, readiness, stop))
        tasks.create_task(pool.watch(stop))
        await worker.serve([stage], settings, readiness, stop)
    await transport.close_for_good()


if __name__ == "__main__":
    main()
