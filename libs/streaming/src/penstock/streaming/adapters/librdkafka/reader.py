"""Chosen partitions, read without a group (port: Reader)."""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial

import structlog
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, Message

from penstock.streaming.adapters.librdkafka.client import (
    CONNECT_S,
    as_broker_error,
    is_final,
    partition_of,
    reading,
    records_of,
    topic_partition,
)
from penstock.streaming.adapters.librdkafka.feed import Feed
from penstock.streaming.connection import Cluster, as_connection
from penstock.streaming.ports import BrokerError, Partition, Record, Since, Start

_NAME = "reader"
_PAUSE_S = 0.05
log = structlog.get_logger()
Records = list[Record]


class LibrdkafkaReader:
    """Reads chosen partitions without a group (port: Reader)."""

    def __init__(self) -> None:
        self.feed: Feed[Records] = Feed("kafka-reader", self._gather)
        self.feed.resting = True
        self._positions: dict[Partition, int] = {}
        self._read_now: set[Partition] = set()

    async def poll(self, wait: float) -> Sequence[Record]:
        records = await self.feed.take(wait)
        if not records:
            return []
        for record in records:
            self._positions[record.partition] = record.offset + 1
        return records

    async def read(self, starts: Mapping[Partition, Start]) -> None:
        await self.feed.call(partial(self._move, starts), self._moved)

    async def leave(self, partitions: Collection[Partition]) -> None:
        await self.feed.call(partial(self._drop, partitions), partial(self._dropped, partitions))

    def position(self, partition: Partition) -> int:
        return self._positions[partition]

    async def close(self) -> None:
        await self.feed.close(lambda: self.feed.client.close())

    def _moved(self, places: Mapping[Partition, int], waiting: Records | None) -> Records | None:
        self._positions |= places
        return _without(waiting, places)

    def _dropped(
        self, partitions: Collection[Partition], _: object, waiting: Records | None
    ) -> Records | None:
        for partition in partitions:
            self._positions.pop(partition, None)
        return _without(waiting, partitions)

    # From here on in the thread that polls.

    def _gather(self, messages: list[Message]) -> Records | None:
        for message in messages:
            error = message.error()
            # Of a group it only wants to know the coordinator, and does without.
            if error is not None and error.code() != KafkaError.GROUP_AUTHORIZATION_FAILED:
                if is_final(error):
                    self.feed.fail(as_broker_error(error))
                log.info("reading_goes_on", error=error.str())
        return records_of(messages) or None

    def _move(self, starts: Mapping[Partition, Start]) -> dict[Partition, int]:
        places = self._places(starts)
        self._drop(self._read_now & places.keys())
        self.feed.client.incremental_assign([topic_partition(p, offset) for p, offset in places.items()])
        self._read_now |= places.keys()
        self.feed.resting = not self._read_now
        return places

    def _drop(self, partitions: Collection[Partition]) -> None:
        gone = self._read_now & set(partitions)
        if gone:
            self.feed.client.incremental_unassign([topic_partition(partition) for partition in gone])
        self._read_now -= gone
        self.feed.resting = not self._read_now

    def _places(self, starts: Mapping[Partition, Start]) -> dict[Partition, int]:
        """Return the offsets that are meant."""
        asked: dict[Partition, int] = {}
        for partition, start in starts.items():
            if isinstance(start, Since):
                asked[partition] = start.ms
            elif not isinstance(start, int):
                asked[partition] = OFFSET_BEGINNING if start == "beginning" else OFFSET_END
        found = offsets_for(self.feed.client, asked, CONNECT_S)
        # After a time at which there was nothing: the end.
        found |= offsets_for(
            self.feed.client, {p: OFFSET_END for p, offset in found.items() if offset < 0}, CONNECT_S
        )
        return {p: start if isinstance(start, int) else found[p] for p, start in starts.items()}


def offsets_for(client: Consumer, asked: Mapping[Partition, int], wait: float) -> dict[Partition, int]:
    """Return the first offsets at or after these times; `OFFSET_BEGINNING` and `OFFSET_END` are such, too.

    -1 (OFFSET_END) stands for none. A cluster that is about to choose leaders is asked again, for `wait`
    seconds. Raises KafkaException.
    """
    if not asked:
        return {}
    give_up = time.monotonic() + wait
    while True:
        try:
            found = client.offsets_for_times(
                [topic_partition(p, ms) for p, ms in asked.items()], timeout=wait
            )
            for there in found:
                if there.error is not None:
                    raise KafkaException(there.error)
            return {partition_of(there): there.offset for there in found}
        except KafkaException as error:
            if is_final(error.args[0]) or time.monotonic() > give_up:
                raise
            time.sleep(_PAUSE_S)


def _without(records: Records | None, partitions: Iterable[Partition]) -> Records | None:
    gone = set(partitions)
    return records and [record for record in records if record.partition not in gone]


async def open_reader(
    cluster: Cluster, partitions: Collection[Partition] = (), start: Start = "end", ahead: int | None = None
) -> LibrdkafkaReader:
    """Read `partitions` from `start`, which is fixed on return. Raises BrokerError if no broker answers.

    `ahead` is about how many bytes of each partition are fetched at once, for who needs only a few records.
    """
    reader = LibrdkafkaReader()
    few = {} if ahead is None else {"fetch.message.max.bytes": ahead}
    # The library needs a group; nothing joins it. An ACL for the user's name covers it.
    group = as_connection(cluster).user or _NAME

    def connect() -> Consumer:
        return Consumer(
            reading(cluster, _NAME) | few | {"group.id": group, "on_commit": reader.feed.interrupt}
        )

    await reader.feed.open(connect)
    if partitions:
        try:
            await reader.read(dict.fromkeys(partitions, start))
        except BrokerError:
            await reader.close()
            raise
    return reader
