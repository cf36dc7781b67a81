"""Records fetched ahead of who reads them, a batch at a time, as client libraries do."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from functools import partial

from e2e.simulation.kafka.cluster import Cluster
from e2e.simulation.kafka.link import KafkaError, Link
from penstock.streaming.ports import Partition, Record

_REQUEST_S = 5.0
_BACKOFF_S = 0.1


class Fetcher:
    """Reads partitions from `positions` on. Nothing more is fetched before a batch was taken."""

    def __init__(self, cluster: Cluster, link: Link) -> None:
        self._cluster = cluster
        self._link = link
        self._positions: dict[Partition, int] = {}
        self._paused = False
        self._batch: list[Record] = []
        self._news = asyncio.Event()
        self._wanted = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def take(self, wait: float) -> list[Record]:
        """Return the next batch; wait for it, or for `interrupt`, so many seconds."""
        if not self._batch and not self._news.is_set():
            timer = asyncio.get_running_loop().call_later(wait, self._news.set)
            await self._news.wait()
            timer.cancel()
        self._news.clear()
        batch, self._batch = self._batch, []
        self._wanted.set()
        return batch

    def interrupt(self) -> None:
        """Let `take` return now."""
        self._news.set()

    def go(self, partition: Partition, offset: int) -> None:
        """Read a partition from an offset on."""
        self.drop([partition])
        self._positions[partition] = offset
        self._wanted.set()

    def drop(self, partitions: Collection[Partition]) -> None:
        """Read partitions no more."""
        for partition in partitions:
            self._positions.pop(partition, None)
        self._batch = [record for record in self._batch if record.partition not in partitions]

    def pause(self) -> None:
        """Fetch nothing more."""
        self._paused = True

    def resume(self) -> None:
        """Undo `pause`."""
        self._paused = False
        self._wanted.set()

    def close(self) -> None:
        """End."""
        self._task.cancel()
        self._news.set()

    async def _run(self) -> None:
        while True:
            while self._batch or not self._positions or self._paused:
                self._wanted.clear()
                await self._wanted.wait()
            asked = dict(self._positions)
            try:
                fetched = await self._link.call("fetch", partial(self._cluster.fetch, asked), _REQUEST_S)
            except KafkaError:
                await asyncio.sleep(_BACKOFF_S)
                continue
            for partition, (position, records) in fetched.items():
                if self._positions.get(partition) == position == asked[partition]:
                    self._positions[partition] = records[-1].offset + 1
                    self._batch += records
            if self._batch:
                self._news.set()
