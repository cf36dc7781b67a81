"""What was sent and must be acknowledged before the record that caused it counts as handled."""

import asyncio


class Acknowledgements:
    """Waits for any number of records, and keeps none of them; `last` is the highest offset told."""

    def __init__(self) -> None:
        self._open = 0
        self._error: BaseException | None = None
        self._news: asyncio.Future[None] | None = None
        self.last: int | None = None

    def add(self, acknowledged: asyncio.Future[int]) -> None:
        """Wait for one more."""
        self._open += 1
        acknowledged.add_done_callback(self._one)

    async def all(self) -> None:
        """Return when all that were added are acknowledged. Raises the first BrokerError at once."""
        while self._open and self._error is None:
            self._news = asyncio.get_running_loop().create_future()
            await self._news
        if self._error is not None:
            raise self._error

    def _one(self, acknowledged: asyncio.Future[int]) -> None:
        self._open -= 1
        error = asyncio.CancelledError() if acknowledged.cancelled() else acknowledged.exception()
        if error is None:
            offset = acknowledged.result()
            self.last = offset if self.last is None else max(self.last, offset)
        else:
            self._error = self._error or error
        if self._news is not None and not self._news.done() and (error is not None or not self._open):
            self._news.set_result(None)
