"""What a gateway does with the log: questions in, answers out. No HTTP and no accounts."""

import asyncio
import secrets
from collections.abc import Callable

from opentelemetry import trace

from penstock.gateway.budget import Budget
from penstock.gateway.following import Following
from penstock.gateway.handler import Exchange, Limits
from penstock.gateway.history import History
from penstock.gateway.home import Home, home_partition
from penstock.gateway.ports import IdempotencyKeys, Log
from penstock.gateway.presence import Presence
from penstock.gateway.readback import Readback
from penstock.gateway.recall import RecallLimits, Recalls
from penstock.gateway.request_intake import RequestIntake
from penstock.gateway.settings import Settings
from penstock.messages.topics import CHAT_REQUESTS
from penstock.streaming.tracing import Spans
from penstock.telemetry.readiness import Readiness


class Core:
    """The parts that know the log, wired together; nothing is opened before `start`.

    `readiness` has the parts "kafka" and "topics"; `now_ms` gives Unix milliseconds, `randbits` random bits.
    chat.requests has so many `partitions`.
    """

    def __init__(
        self,
        settings: Settings,
        source: Log,
        keys: IdempotencyKeys,
        readiness: Readiness,
        now_ms: Callable[[], int],
        randbits: Callable[[int], int] = secrets.randbits,
        partitions: int = CHAT_REQUESTS.partitions,
    ) -> None:
        partition = home_partition(settings.instance)
        self.following = Following(settings.max_answer_chars)
        self.exchange = Exchange(
            self.following,
            partition,
            Limits(settings.request_timeout_s, settings.request_grace_s, settings.ack_timeout_s),
            now_ms,
            Spans(trace.get_tracer("penstock.gateway"), "", settings.instance, now_ms),
            randbits,
        )
        self.home = Home(source, partition, self.following, self.exchange, readiness)
        self.history = History(source, self.home)
        answer_ms = round((settings.request_timeout_s + settings.request_grace_s) * 1000)
        self.recalls = Recalls(
            self.following,
            Readback(self.history, self.following.new_answer, answer_ms, partitions),
            self.home,
            RecallLimits(round(settings.retention_hours * 3_600_000)),
            now_ms,
            Budget(settings.max_recalls, "Too many earlier requests are being read. Try again in a moment."),
        )
        self.presence = Presence(lambda: self.exchange.producer, now_ms, settings.ack_timeout_s, randbits)
        self.intake = RequestIntake(self.exchange, self.recalls, self.presence, keys)

    def start(self, tasks: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """Connect to the log and read it, in tasks of the group that end only when they are cancelled."""
        return [tasks.create_task(self.home.run()), tasks.create_task(self.history.run())]

    async def close(self) -> None:
        """Close what was opened."""
        await self.recalls.close()
        await self.history.close()
        await self.home.close()
