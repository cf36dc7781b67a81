"""Usage, followed always: what usage.recorded tells, with the keys that chat.requests names."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from penstock.messages.chat import ChatRequested, UsageRecorded
from penstock.messages.event import InvalidEvent
from penstock.messages.topics import CHAT_REQUESTS, USAGE_RECORDED
from penstock.observer.domain.usage import Sums, Used
from penstock.observer.ports import Kept, Ledger, Log
from penstock.streaming.ports import BrokerError, Partition, Reader, Record, Since, Start
from penstock.streaming.records import decode, envelope_of
from penstock.telemetry.readiness import Readiness

KAFKA = "kafka"
SAVE_SECONDS = 60.0
KEYS_BACK_MS = 3_600_000
"""Without sums that were kept, keys are known for requests of the last hour: questions are long to read."""
_POLL_SECONDS = 0.5
_PAUSE_SECONDS = 0.5
"""Between two polls, so that many records come at once: nobody waits for a sum."""
_MANY = 100
"""So many records say that there are more to read."""
_RETRY_SECONDS = 1.0


async def _pause(stop: asyncio.Event, seconds: float = _PAUSE_SECONDS) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


class _WithKey(msgspec.Struct):
    api_key: str = ""


class Accounting:
    """Keeps the sums at the log's end; `readiness` is told whether Kafka answers."""

    def __init__(
        self,
        opening: Log,
        ledger: Ledger,
        sums: Sums,
        readiness: Readiness,
        now_ms: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = opening
        self._ledger = ledger
        self._sums = sums
        self._readiness = readiness
        self._now_ms = now_ms
        self._clock = clock
        self._positions: dict[Partition, int] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Follow usage until `stop` is set, and keep the sums now and then, and at the end."""
        kept = await self._ledger.load()
        if kept is not None:
            self._sums.restore(kept.cells.items())
            self._positions = dict(kept.positions)
        while not stop.is_set():
            try:
                await self._follow(stop)
            except BrokerError as error:
                self._readiness.waiting(KAFKA, str(error))
                await _pause(stop, _RETRY_SECONDS)
        await self._save()

    async def _follow(self, stop: asyncio.Event) -> None:
        reader = await self._log.reader()
        try:
            await self._begin(reader)
            self._readiness.ready(KAFKA)
            saved = self._clock()
            while not stop.is_set():
                records = await reader.poll(_POLL_SECONDS)
                for record in records:
                    self._take(record)
                if len(records) < _MANY:
                    await _pause(stop)
                if self._clock() - saved > SAVE_SECONDS:
                    await self._save()
                    saved = self._clock()
        finally:
            await reader.close()

    async def _begin(self, reader: Reader) -> None:
        """Read on where the sums end. A topic that is shorter than that was made anew, and is read whole."""
        usage = [Partition(USAGE_RECORDED.name, n) for n in range(USAGE_RECORDED.partitions)]
        asked = [Partition(CHAT_REQUESTS.name, n) for n in range(CHAT_REQUESTS.partitions)]
        await reader.read(dict.fromkeys([*usage, *asked], "end"))
        starts: dict[Partition, Start] = dict.fromkeys(usage, "beginning")
        starts |= dict.fromkeys(asked, Since(self._now_ms() - KEYS_BACK_MS))
        for at, offset in self._positions.items():
            if at in starts and offset <= reader.position(at):
                starts[at] = offset
        await reader.read(starts)
        self._positions = {at: reader.position(at) for at in starts}

    def _take(self, record: Record) -> None:
        self._positions[record.partition] = record.offset + 1
        try:
            if record.partition.topic == CHAT_REQUESTS.name:
                self._take_key(record)
            else:
                self._take_usage(record)
        except (InvalidEvent, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return  # a record that is no event: its stage buries it

    def _take_key(self, record: Record) -> None:
        envelope = envelope_of(record)
        if envelope is not None and envelope.type == ChatRequested.TYPE:
            key = msgspec.json.decode(record.value or b"", type=_WithKey).api_key
            if key:
                self._sums.key_of(envelope.tenant, envelope.subject, key)

    def _take_usage(self, record: Record) -> None:
        received = decode(record, USAGE_RECORDED)
        used = received.event
        if isinstance(used, UsageRecorded):
            self._sums.used(
                Used(
                    used.request_id,
                    received.envelope.tenant,
                    used.model,
                    record.timestamp_ms,
                    used.usage.prompt_tokens,
                    used.usage.completion_tokens,
                )
            )

    async def _save(self) -> None:
        self._sums.forget(self._now_ms())
        if self._positions:
            await self._ledger.save(Kept(dict(self._positions), dict(self._sums.cells)))
