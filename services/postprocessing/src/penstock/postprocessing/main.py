"""Start the postprocessing service."""

from collections.abc import Callable

from penstock.messages.flows import FLOWS
from penstock.messages.topics import CHAT_GENERATED, CHAT_RESPONSES
from penstock.postprocessing.adapters.language import LanguageIdentifier
from penstock.postprocessing.handler import Postprocessing
from penstock.streaming import worker
from penstock.streaming.settings import read_settings
from penstock.streaming.stage import Fold, Stage
from penstock.telemetry.instruments import watch_readiness
from penstock.telemetry.readiness import Readiness
from penstock.telemetry.setup import set_up


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    settings = read_settings(worker.WorkerSettings)
    set_up("postprocessing")
    worker.run(_run(settings))


async def _run(settings: worker.WorkerSettings) -> None:
    readiness = Readiness(worker.KAFKA)
    watch_readiness(readiness)
    stop = worker.stop_on_signals()
    stages = [stage(LanguageIdentifier().language_of)]
    await worker.serve(stages, FLOWS["postprocessing"], settings, readiness, stop)


def stage(language_of: Callable[[str], str]) -> Stage:
    """Return what the service does; `language_of` tells the language of a text by its two letters."""
    return Stage(
        "postprocessing", (CHAT_GENERATED,), Fold(Postprocessing(language_of).handle), CHAT_RESPONSES
    )


if __name__ == "__main__":
    main()
