"""Reads back in the log, for all who look for something there, in as few passes as possible."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from penstock.gateway.ports import Log
from penstock.streaming.ports import BrokerError, Partition, Reader, Record, Since

POLL_S = 0.2
GATHER_S = 0.1
"""Passes through a partition begin no closer than this, so that a crowd that comes within it shares one."""
log = structlog.get_logger(__name__)


@dataclass(eq=False, slots=True)
class Wanted:
    """The records of one key in one partition, stamped from `since_ms` until `until_ms`.

    `take` is given each in order and returns True when nothing more is wanted. `end` is called once, after
    the last: within the same step of the event loop in which the history was found to have caught up with
    the live reader, so that nothing falls between the two. With `over` set nobody waits any
    more, not for the end either.
    """

    partition: Partition
    key: bytes
    since_ms: int
    until_ms: int
    take: Callable[[Record], bool]
    end: Callable[[], None]
    over: bool = False


class Live(Protocol):
    """The live reader's place."""

    def position(self, partition: Partition) -> int | None:
        """Return the offset up to which live records were passed on; None: it does not read this one."""


@dataclass(slots=True)
class _Scan:
    """One pass through one partition for many; `target` is where it ends at the latest.

    It has passed no record that was stamped after `now_ms`.
    """

    by_key: dict[bytes, list[Wanted]]
    target: int
    now_ms: int

    def add(self, wanted: Wanted) -> bool:
        """Look for one more in this pass, if nothing of it can have been passed."""
        if wanted.since_ms <= self.now_ms:
            return False
        self.by_key.setdefault(wanted.key, []).append(wanted)
        return True

    def finish(self, done: Callable[[Wanted], bool]) -> None:
        """End those that are done."""
        for key in list(self.by_key):
            kept = []
            for wanted in self.by_key[key]:
                if done(wanted):
                    wanted.end()
                else:
                    kept.append(wanted)
            if kept:
                self.by_key[key] = kept
            else:
                del self.by_key[key]


@dataclass(slots=True)
class _Batch:
    """Those whose spans of time overlap: one pass finds them all, and reads little that nobody wants."""

    wanted: list[Wanted] = field(default_factory=list)
    until_ms: int = 0

    @staticmethod
    def of(waiting: Iterable[Wanted]) -> "_Batch":
        """Return the earliest of them, with all that one pass from there serves."""
        batch = _Batch()
        for item in sorted(waiting, key=lambda item: item.since_ms):
            if batch.wanted and item.since_ms > batch.until_ms:
                break
            batch.wanted.append(item)
            batch.until_ms = max(batch.until_ms, item.until_ms)
        return batch


class History:
    """One reader for all that is looked for in the past.

    Partitions are read side by side; in each, one pass at a time serves all that waited when it began.
    """

    def __init__(self, source: Log, live: Live, retry_s: float = 0.5) -> None:
        self.passes = 0
        self._source = source
        self._live = live
        self._retry_s = retry_s
        self._reader: Reader | None = None
        self._waiting: dict[Partition, list[Wanted]] = defaultdict(list)
        self._scans: dict[Partition, _Scan] = {}
        self._began: dict[Partition, float] = {}
        self._work = asyncio.Event()

    def want(self, wanted: Wanted) -> None:
        """Look for something, in the pass that is under way if it is not too late, else in the next."""
        partition = wanted.partition
        scan = self._scans.get(partition)
        # A pass with a fixed end might end before what was written since.
        if scan is None or self._live.position(partition) is None or not scan.add(wanted):
            self._waiting[partition].append(wanted)
        self._work.set()

    async def run(self) -> None:
        """Read for ever, while there is something to look for."""
        while True:
            await self._work.wait()
            try:
                reader = self._reader = self._reader or await self._source.open_reader()
                await self._begin(reader)
                if self._scans:
                    self._pass_on(await reader.poll(POLL_S))
                    await self._end(reader)
                elif self._waiting:
                    await asyncio.sleep(GATHER_S / 4)
            except BrokerError as error:
                log.warning("history_is_away", reason=str(error))
                self._start_over()
                await self.close()
                await asyncio.sleep(self._retry_s)
            if not (self._scans or self._waiting):
                self._work.clear()
            # A poll need not suspend: without this, responses could starve while records pour in.
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Close what was opened."""
        reader, self._reader = self._reader, None
        if reader is not None:
            try:
                await reader.close()
            except BrokerError as error:
                log.warning("closing_failed", reason=str(error))

    async def _begin(self, reader: Reader) -> None:
        """Start a pass in every partition where somebody waits and none is under way."""
        batches = {}
        now = asyncio.get_running_loop().time()
        for partition in [p for p in self._waiting if self._may_begin(p, now)]:
            waiting = self._waiting[partition] = [w for w in self._waiting[partition] if not w.over]
            if waiting:
                batches[partition] = _Batch.of(waiting)
            else:
                del self._waiting[partition]
        if not batches:
            return
        targets = await self._ends(reader, [p for p in batches if self._live.position(p) is None])
        await reader.read({p: Since(batch.wanted[0].since_ms) for p, batch in batches.items()})
        for partition, batch in batches.items():
            self.passes += 1
            self._began[partition] = now
            scan = self._scans[partition] = _Scan({}, targets.get(partition, 0), batch.wanted[0].since_ms - 1)
            for wanted in batch.wanted:
                scan.add(wanted)
            self._keep_waiting(partition, set(batch.wanted))

    def _may_begin(self, partition: Partition, now: float) -> bool:
        return partition not in self._scans and now - self._began.get(partition, -GATHER_S) >= GATHER_S

    async def _ends(self, reader: Reader, partitions: list[Partition]) -> dict[Partition, int]:
        """Return where the partitions end now that no live reader reads."""
        if partitions:
            await reader.read(dict.fromkeys(partitions, "end"))
        return {partition: reader.position(partition) for partition in partitions}

    def _keep_waiting(self, partition: Partition, but: set[Wanted]) -> None:
        left = [wanted for wanted in self._waiting[partition] if wanted not in but]
        if left:
            self._waiting[partition] = left
        else:
            del self._waiting[partition]

    def _pass_on(self, polled: Iterable[Record]) -> None:
        for record in polled:
            scan = self._scans.get(record.partition)
            if scan is None:
                continue
            scan.now_ms = max(scan.now_ms, record.timestamp_ms)
            for wanted in scan.by_key.get(record.key or b"", ()):
                if not wanted.over and wanted.take(record):
                    wanted.over = True

    async def _end(self, reader: Reader) -> None:
        """End what is complete. There is no suspension between comparing places and telling the end."""
        ended = []
        for partition, scan in self._scans.items():
            now_ms = scan.now_ms
            scan.finish(lambda wanted: wanted.over or wanted.until_ms < now_ms)  # noqa: B023  # used at once
            live = self._live.position(partition)
            if reader.position(partition) >= (scan.target if live is None else live):
                scan.finish(lambda _: True)
            if not scan.by_key:
                ended.append(partition)
        for partition in ended:
            del self._scans[partition]
        if ended:
            await reader.leave(ended)

    def _start_over(self) -> None:
        """Let the next passes repeat what was under way: who took something knows it when it comes again."""
        for partition, scan in self._scans.items():
            self._waiting[partition] += [wanted for group in scan.by_key.values() for wanted in group]
        self._scans.clear()
