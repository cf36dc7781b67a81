"""Start the postprocessing service."""

from penstock.messages.flows import FLOWS
from penstock.messages.topics import CHAT_GENERATED, CHAT_RESPONSES
from penstock.postprocessing.adapters.language import LanguageIdentifier
from penstock.postprocessing.handler import Postprocessing
from penstock.streaming import worker
from penstock.streaming.settings import read_settings
from penstock.streaming.stage import Fold, Stage
from penstock.telemetry.meters import watch_readiness
from penstock.telemetry.readiness import Readiness
from penstock.telemetry.setup import set_up


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    settings = read_settings(worker.WorkerSettings)
    set_up("postprocessing")
    worker.run(_run(settings))


async def _run(settings: worker.WorkerSettings) -> None:
    handle = Postprocessing(LanguageIdentifier().language_of).handle
    stage = Stage("postprocessing", (CHAT_GENERATED,), Fold(handle), CHAT_RESPONSES)
    readiness = Readiness(worker.KAFKA)
    watch_readiness(readiness)
    await worker.serve([stage], FLOWS["postprocessing"], settings, readiness, worker.stop_on_signals())


if __name__ == "__main__":
    main()
