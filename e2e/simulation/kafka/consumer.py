"""A member of a group, as our adapter over librdkafka is: rebalances, sessions, fenced commits."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

from e2e.simulation.kafka.cluster import Cluster
from e2e.simulation.kafka.coordinator import Generation, Joined, cooperative_sticky
from e2e.simulation.kafka.fetching import Fetcher
from e2e.simulation.kafka.link import KafkaError, Link, Reply
from e2e.simulation.kafka.metadata import Metadata
from e2e.simulation.kafka.reader import ask
from penstock.streaming.ports import BrokerError, Committable, Partition, Polled, Position, Record

_REQUEST_S = 5.0
_REVOKE_S = 5.0
_BACKOFF_S = 0.1
_JOIN_S = 300.0
"""max.poll.interval.ms: so long a join may wait for the others."""


class SimulatedConsumer:
    """Port: Consumer. A task keeps the membership: it joins, gives up, and sends heartbeats."""

    def __init__(
        self,
        cluster: Cluster,
        link: Link,
        group: str,
        topics: Sequence[str],
        committable: Committable,
        session_s: float = 10.0,
    ) -> None:
        self._cluster = cluster
        self._link = link
        self._group = cluster.group(group)
        self._topics = tuple(topics)
        self._committable = committable
        self._session_s = session_s
        self._fetcher = Fetcher(cluster, link)
        self._member, self._generation = "", -1
        self._owned: frozenset[Partition] = frozenset()
        self._revoked: set[Partition] = set()
        self._assigned: dict[Partition, Position] = {}
        self._metadata = Metadata(cluster)
        self._counts = dict.fromkeys(topics, 0)
        self._joined = False
        self._paused = False
        self._held: list[Record] = []
        self._calls = asyncio.Lock()
        self._membership = asyncio.get_running_loop().create_task(self._be_member())

    @property
    def joined(self) -> bool:
        return self._joined

    async def poll(self, wait: float) -> Polled:
        if self._membership.done():
            self._membership.result()
        fetched = [] if self._held and not self._paused else await self._fetcher.take(wait)
        revoked, self._revoked = frozenset(self._revoked), set()
        assigned, self._assigned = self._assigned, {}
        held, self._held = [r for r in self._held if r.partition not in revoked], []
        records = [record for record in held + fetched if record.partition in self._owned]
        if self._paused:
            self._held, records = records, []
        return Polled(records, revoked, assigned)

    async def commit(self, offsets: Mapping[Partition, Position]) -> None:
        async with self._calls:
            owned = {p: position for p, position in offsets.items() if p in self._owned}
            if owned:
                await self._commit(owned)

    async def confirm(self, partition: Partition, position: Position) -> bool:
        member = self._member
        with suppress(BrokerError, TimeoutError):
            async with asyncio.timeout(_REQUEST_S), self._calls:
                if partition in self._owned:
                    await self._commit({partition: position})
                    return bool(member) and member == self._member and partition in self._owned
        return False

    async def ends(self) -> dict[Partition, int]:
        owned = self._owned
        return await ask(self._link, "offsets", lambda: {p: self._cluster.offset(p, "end") for p in owned})

    def partitions(self, topic: str) -> int:
        return self._counts.get(topic, 0)

    async def pause(self) -> None:
        self._paused = True
        self._fetcher.pause()

    async def resume(self) -> None:
        self._paused = False
        self._fetcher.resume()

    async def close(self) -> None:
        self._membership.cancel()
        await self._give_up(self._owned)
        with suppress(BrokerError):
            await ask(self._link, "leave", lambda: self._group.leave(self._member))
        self._fetcher.close()

    async def _commit(self, offsets: Mapping[Partition, Position]) -> None:
        member, generation = self._member, self._generation
        await ask(self._link, "commit", lambda: self._group.commit(member, generation, offsets))

    async def _be_member(self) -> None:
        while True:
            try:
                await self._join()
                await self._stay()
            except KafkaError as error:
                if not error.retriable:
                    self._lose_all()
                await asyncio.sleep(_BACKOFF_S)

    async def _join(self) -> None:
        """Join until what we own is what we were given. Raises KafkaError."""
        while True:
            joined = Joined(self._topics, self._owned, self._generation)
            generation: Generation = await self._link.call(
                "join", partial(self._group.join, self._member, joined, self._session_s), _JOIN_S
            )
            self._member, self._generation = generation.member, generation.number
            shares = None
            if generation.members is not None:
                shares = cooperative_sticky(generation.members, self._metadata.partitions)
            share: frozenset[Partition] = await self._link.call(
                "sync", partial(self._group.sync, self._member, self._generation, shares), _REQUEST_S
            )
            lost = self._owned - share
            await self._give_up(lost)
            await self._take(share - self._owned)
            self._counts = {topic: self._metadata.partitions(topic) for topic in self._topics}
            if not lost:
                self._joined = True
                return

    async def _stay(self) -> None:
        """Send heartbeats until another generation is due, or a topic has grown. Raises KafkaError."""
        loop = asyncio.get_running_loop()
        heard = loop.time()
        while True:
            await asyncio.sleep(self._session_s / 6)
            if any(self._metadata.partitions(topic) > count for topic, count in self._counts.items()):
                return
            try:
                await self._link.call("heartbeat", self._beat, self._session_s / 3)
            except KafkaError as error:
                if error.name == "REBALANCE_IN_PROGRESS":
                    return
                if not error.retriable:
                    raise
                if loop.time() - heard > self._session_s:
                    self._lose_all()
                    return
            else:
                heard = loop.time()

    def _beat(self, reply: Reply[None]) -> None:
        reply(self._group.heartbeat(self._member, self._generation))

    async def _take(self, fresh: frozenset[Partition]) -> None:
        """Learn where to read on, and begin to. Raises KafkaError."""
        if not fresh:
            return
        known = self._group.committed
        committed: dict[Partition, Position] = await self._link.call(
            "committed", lambda reply: reply({p: known[p] for p in fresh if p in known}), _REQUEST_S
        )
        for partition in sorted(fresh):
            at = committed.get(partition, Position(0))
            self._assigned[partition] = at
            self._fetcher.go(partition, at.offset)
        self._owned |= fresh
        self._fetcher.interrupt()

    async def _give_up(self, gone: frozenset[Partition]) -> None:
        """Commit what is done of partitions that are taken away, and let them go."""
        self._owned -= gone
        done = {p: position for p in gone if (position := self._committable(p)) is not None}
        if done:
            with suppress(BrokerError, TimeoutError):
                async with asyncio.timeout(_REVOKE_S), self._calls:
                    await self._commit(done)
        self._let_go(gone)

    def _lose_all(self) -> None:
        """The group no longer counts us: others may own what was ours."""
        gone, self._owned = self._owned, frozenset()
        self._member, self._generation = "", -1
        self._let_go(gone)

    def _let_go(self, gone: frozenset[Partition]) -> None:
        if not gone:
            return
        self._joined = False
        self._fetcher.drop(gone)
        self._revoked |= gone
        for partition in gone:
            self._assigned.pop(partition, None)
        self._fetcher.interrupt()
