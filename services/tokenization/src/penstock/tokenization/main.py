"""Start the tokenization service."""

import asyncio

from penstock.clients.tgi import TgiServer
from penstock.messages.flows import FLOWS
from penstock.messages.topics import CHAT_REQUESTS, CHAT_TOKENIZED
from penstock.streaming import worker
from penstock.streaming.errors import HandlerError
from penstock.streaming.settings import read_settings
from penstock.streaming.stage import Each, Stage
from penstock.telemetry.instruments import watch_readiness
from penstock.telemetry.readiness import Readiness
from penstock.telemetry.setup import set_up
from penstock.tokenization.adapters.tgi import TgiModel
from penstock.tokenization.handler import Policy, Tokenization
from penstock.tokenization.ports import Model
from penstock.tokenization.settings import Settings

BACKENDS = "backends"
ANSWER_SECONDS = 10.0


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    settings = read_settings(Settings)
    set_up("tokenization")
    worker.run(_run(settings))


async def _run(settings: Settings) -> None:
    stop = worker.stop_on_signals()
    readiness = Readiness(worker.KAFKA, BACKENDS)
    watch_readiness(readiness)
    key = settings.key_of_backends
    servers = [TgiServer(backend.url, key, ANSWER_SECONDS) for backend in settings.backends]
    model = TgiModel(servers)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(worker.wait_for(BACKENDS, lambda: _reason(model), readiness, stop))
        await worker.serve([stage(settings, model)], FLOWS["tokenization"], settings, readiness, stop)
    for server in servers:
        await server.close()


def stage(settings: Settings, model: Model) -> Stage:
    """Return what the service does."""
    policy = Policy(settings.default_max_tokens, settings.passage_tokens, settings.models)
    tokenization = Tokenization(model, policy)
    each = Each(tokenization.handle, lambda: settings.tokenization_concurrency, settings.backend_wait_seconds)
    return Stage("tokenization", (CHAT_REQUESTS,), each, failures=CHAT_TOKENIZED)


async def _reason(model: TgiModel) -> str | None:
    try:
        await model.limits()
    except HandlerError as error:
        return error.message
    return None


if __name__ == "__main__":
    main()
