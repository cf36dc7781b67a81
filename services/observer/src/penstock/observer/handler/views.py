"""What callers see. Every view takes a viewer; only here it is decided what they get of others': nothing."""

from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple

import structlog

from penstock.messages import ids
from penstock.observer.domain.board import Board, Wish
from penstock.observer.domain.errors import no_such
from penstock.observer.domain.from_spans import request_in
from penstock.observer.domain.pipeline import Pipeline
from penstock.observer.domain.requests import Request
from penstock.observer.domain.spans import Trace, shown
from penstock.observer.domain.usage import Amount, Cell, Sums
from penstock.observer.domain.viewer import Viewer
from penstock.observer.handler.following import Following
from penstock.observer.handler.letters import LetterPage, Letters, LetterWish
from penstock.observer.handler.lookup import Lookup, Records, RecordView
from penstock.observer.handler.streams import Changes
from penstock.observer.handler.watching import Watching
from penstock.observer.ports import Traces
from penstock.streaming.admin.dead_letters import DeadLetter
from penstock.streaming.ports import BrokerError, Record

log = structlog.get_logger()


class RequestView(NamedTuple):
    """A request with its records and traces, its own before linked ones. `cut`: there may be more records."""

    request: Request
    records: Sequence[RecordView]
    cut: bool
    traces: Sequence[Trace]


class Views:
    """All views, over the parts that know."""

    def __init__(
        self,
        board: Board,
        following: Following,
        changes: Changes,
        lookup: Lookup,
        traces: Traces,
        sums: Sums,
        watching: Watching,
        letters: Letters,
    ) -> None:
        self._board = board
        self._following = following
        self._changes = changes
        self._lookup = lookup
        self._traces = traces
        self._sums = sums
        self._watching = watching
        self._letters = letters

    async def requests(self, viewer: Viewer, wish: Wish) -> tuple[list[Request], str | None]:
        """Return the newest requests that fit, and before which id to go on (None: all seen)."""
        await self._following.look()
        return self._board.page(wish, viewer)

    def request_changes(self, viewer: Viewer) -> AsyncGenerator[list[Request], None]:
        """Yield requests when they have changed, and [] now and then."""
        return self._changes.watch(viewer, self._following.touch)

    async def request(self, viewer: Viewer, given_id: str, *, with_records: bool = True) -> RequestView:
        """Return one request. Raises ApiError 404: there is none, or it is somebody else's; 503.

        `given_id` may be the id of its answer.
        """
        request_id = ids.request_id_of(given_id)
        traces = await self._traces.of_request(request_id)
        found, request = Records(), self._current(request_id)
        if with_records or (request is None and not traces.own):
            again_ms = [trace.spans[0].start_ns // 1_000_000 for trace in traces.own[1:] if trace.spans]
            found = await self._records(request_id, again_ms)
        request = request or found.request or request_in(request_id, traces.own)
        if request is None or not viewer.sees(request.tenant):
            raise no_such("request")
        if found.request is None or found.request.tenant != request.tenant:
            found = Records(cut=found.cut)
        return RequestView(
            request, found.records, found.cut, shown(traces.own, traces.linked, request_id, viewer)
        )

    def usage(
        self, viewer: Viewer, since_ms: int, until_ms: int, bucket_ms: int
    ) -> list[tuple[Cell, Amount]]:
        """Return what was used between two times, in buckets."""
        return self._sums.points(viewer, since_ms, until_ms, bucket_ms)

    async def pipeline(self, viewer: Viewer) -> Pipeline:
        """Return how far everything is. Raises ApiError 403, 503."""
        viewer.require_operator()
        return await self._watching.latest()

    def pipeline_looks(self, viewer: Viewer) -> AsyncGenerator[Pipeline, None]:
        """Yield that every second. Raises ApiError 403 at once, 503 later."""
        viewer.require_operator()
        return self._watching.watch()

    async def letters(self, viewer: Viewer, wish: LetterWish) -> LetterPage:
        """Return dead letters. Raises ApiError 400, 403; BrokerError."""
        viewer.require_operator()
        return await self._letters.page(wish)

    async def letter(self, viewer: Viewer, topic: str, offset: int) -> tuple[DeadLetter, Record]:
        """Return one dead letter. Raises ApiError 403, 404; BrokerError."""
        viewer.require_operator()
        return await self._letters.one(topic, offset)

    async def replay(self, viewer: Viewer, topic: str, offset: int, *, force: bool) -> int:
        """Send a dead letter again, and return its new offset. Raises ApiError 403, 404, 409; BrokerError."""
        viewer.require_operator()
        return await self._letters.replay(topic, offset, force=force)

    async def drop(self, viewer: Viewer, topic: str, offset: int) -> None:
        """Be done with a dead letter. Raises ApiError 403, 404, 409; BrokerError."""
        viewer.require_operator()
        await self._letters.drop(topic, offset)

    def _current(self, request_id: str) -> Request | None:
        """Return what the board knows of a request, if that can change no more, or is kept up to date."""
        request = self._board.get(request_id)
        return request if request is not None and (request.ended_ms or self._following.active) else None

    async def _records(self, request_id: str, again_ms: Sequence[int]) -> Records:
        """Return the records of a request; without Kafka its traces are shown alone."""
        try:
            return await self._lookup.find(request_id, again_ms)
        except BrokerError as error:
            log.warning("records_not_read", request_id=request_id, reason=str(error))
            return Records(cut=True)
