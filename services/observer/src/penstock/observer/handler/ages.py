"""When the oldest records that wait were written."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from penstock.observer.ports import Log
from penstock.streaming.ports import Partition, Reader

SECONDS = 0.5
AHEAD_BYTES = 64 * 1024
_POLL_SECONDS = 0.1


class Ages:
    """Looks at one record of each partition, and remembers it until another is the oldest."""

    def __init__(self, opening: Log) -> None:
        self._log = opening
        self._reader: Reader | None = None
        self._known: dict[Partition, tuple[int, int]] = {}

    async def written_ms(self, positions: Mapping[Partition, int]) -> dict[Partition, int]:
        """Return the broker's stamps of the records at these places, as far as they come soon.

        Raises BrokerError.
        """
        self._known = {at: known for at, known in self._known.items() if positions.get(at) == known[0]}
        wanted = {at: offset for at, offset in positions.items() if at not in self._known}
        if wanted:
            if self._reader is None:
                self._reader = await self._log.reader(AHEAD_BYTES)
            with suppress(TimeoutError):
                async with asyncio.timeout(SECONDS):
                    await self._read(self._reader, wanted)
        return {at: stamp for at, (_, stamp) in self._known.items()}

    async def _read(self, reader: Reader, wanted: dict[Partition, int]) -> None:
        await reader.read(wanted)
        try:
            left = set(wanted)
            while left:
                for record in await reader.poll(_POLL_SECONDS):
                    if record.partition in left:
                        # Retention may have taken what was there: then the next one is the oldest.
                        self._known[record.partition] = (wanted[record.partition], record.timestamp_ms)
                        left.discard(record.partition)
                if left:
                    await reader.leave(set(wanted) - left)
        finally:
            await reader.leave(list(wanted))

    async def close(self) -> None:
        """Close the connection, until it is needed again."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()
