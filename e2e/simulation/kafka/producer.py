"""A producer as librdkafka's: idempotent, acks=all, retries until the delivery's time is over."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial

from e2e.simulation.kafka.cluster import MAX_RECORD_BYTES, Cluster
from e2e.simulation.kafka.link import KafkaError, Link
from e2e.simulation.kafka.metadata import Metadata
from e2e.simulation.kafka.partition import Appended, Draft
from e2e.simulation.releases import written_by
from penstock.messages.envelope import Headers
from penstock.streaming.adapters.sending import Backlogged, size_of
from penstock.streaming.clock import BrokerClock
from penstock.streaming.ports import AcknowledgedOffset, BrokerError, Partition, RecordTooLarge

_DELIVERY_S = 30.0
_REQUEST_S = 15.0
_BACKOFF_S = 0.1
_CLOSE_S = 10.0


@dataclass(slots=True)
class _Sending:
    """What waits to be written to one partition, and the number of the next batch."""

    number: int = 0
    queue: list[tuple[Draft, asyncio.Future[int], int, float]] = field(default_factory=list)
    task: asyncio.Task[None] | None = None


class SimulatedProducer(Backlogged):
    """Port: Producer. What is sent while a batch is on its way makes the next batch of its partition."""

    def __init__(self, cluster: Cluster, link: Link, clock: BrokerClock, release: str = "") -> None:
        super().__init__()
        self._cluster = cluster
        self._link = link
        self._clock = clock
        self._release = release
        self._id = cluster.new_producer()
        self._metadata = Metadata(cluster)
        self._sending: dict[Partition, _Sending] = defaultdict(_Sending)
        self._closed = False

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        partition: int | bytes | None = None,
    ) -> asyncio.Future[int]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[int] = loop.create_future()
        if self.broken or self._closed:
            done.set_exception(BrokerError(f"{topic}: not taken: the producer is closed or broken"))
            return done
        count = self._metadata.partitions(topic)
        if not count:
            done.set_exception(BrokerError(f"{topic}: no such topic"))
            return done
        value = written_by(self._release, value)
        size = size_of(key, value, headers)
        if size > MAX_RECORD_BYTES:
            done.set_exception(RecordTooLarge(f"{topic}: {size} bytes are more than {MAX_RECORD_BYTES}"))
            return done
        if not isinstance(partition, int):
            hashed = key or b"" if partition is None else partition
            partition = self._cluster.partition_of(hashed, count)
        self._backlog.sent(topic, size)
        at = Partition(topic, partition)
        sending = self._sending[at]
        sending.queue.append((Draft(key, value, headers), done, size, loop.time() + _DELIVERY_S))
        if sending.task is None:
            sending.task = loop.create_task(self._send(at, sending))
        return done

    @property
    def pending(self) -> int:
        """How many bytes are not acknowledged."""
        return sum(size for sending in self._sending.values() for _, _, size, _ in sending.queue)

    async def close(self) -> None:
        self._closed = True
        if tasks := [one.task for one in self._sending.values() if one.task is not None]:
            await asyncio.wait(tasks, timeout=_CLOSE_S)
        self._backlog.close()

    async def _send(self, at: Partition, sending: _Sending) -> None:
        """Write what waits for one partition, batch by batch, until nothing does."""
        try:
            while sending.queue and not self.broken:
                batch, sending.queue = sending.queue, []
                try:
                    appended = await self._write(at, sending.number, [one[0] for one in batch], batch[0][3])
                except KafkaError as error:
                    self._backlog.give_up()
                    batch += sending.queue
                    self._settle(batch, BrokerError(f"{at.topic}: not written: {error.name}"))
                    return
                sending.number += 1
                self._clock.acknowledged(appended.stamp_ms)
                for nth, (_, done, size, _due) in enumerate(batch):
                    self._backlog.settled(size)
                    if not done.done():
                        done.set_result(AcknowledgedOffset(appended.first + nth, at.number))
        finally:
            sending.task = None

    async def _write(self, at: Partition, number: int, drafts: list[Draft], due: float) -> Appended:
        """Write one batch, again and again with the same number. Raises KafkaError."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                handle = partial(self._cluster.produce, at, self._id, number, drafts)
                left_s = min(_REQUEST_S, max(0.001, due - loop.time()))
                return await self._link.call("produce", handle, left_s)
            except KafkaError as error:
                if not error.retriable or loop.time() >= due:
                    raise
                await asyncio.sleep(_BACKOFF_S)

    def _settle(self, batch: list[tuple[Draft, asyncio.Future[int], int, float]], error: BrokerError) -> None:
        for _, done, size, _due in batch:
            self._backlog.settled(size)
            if not done.done():
                done.set_exception(error)
