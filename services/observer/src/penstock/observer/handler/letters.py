"""Dead letters: seen, sent again, dropped; for operators."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from penstock.messages.topics import TOPICS, Topic
from penstock.observer.domain.errors import ApiError, invalid, no_such
from penstock.observer.ports import Log
from penstock.streaming.admin.dead_letters import Choice, DeadLetter, topic_named
from penstock.streaming.ports import Extent, Partition, Record

COUNT_SECONDS = 1.0
COUNT_EVERY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class LetterWish:
    """Which letters somebody wants to see, newest first; `before` is `topic/offset` of one of them."""

    topic: str = ""
    error: str = ""
    tenant: str = ""
    limit: int = 100
    before: str = ""


class LetterPage(NamedTuple):
    """Some letters, how many there are in all that fit, and before which to go on (None: all seen)."""

    letters: Sequence[DeadLetter]
    total: int
    next: str | None


class Letters:
    """One piece of work with the dead letters at a time: they lie in one partition a topic, read whole."""

    def __init__(self, opening: Log) -> None:
        self._log = opening
        self._turn = asyncio.Lock()

    async def page(self, wish: LetterWish) -> LetterPage:
        """Return letters that nobody has dealt with. Raises BrokerError, ApiError 400."""
        topics = (_topic(wish.topic),) if wish.topic else TOPICS
        async with self._turn, self._log.dead_letters() as dead:
            letters = Choice(error=wish.error, tenant=wish.tenant).of(await dead.list_all(topics))
        newest = letters[::-1]
        rest = newest[_after(newest, wish.before) :] if wish.before else newest
        page = rest[: wish.limit]
        more = len(rest) > len(page)
        return LetterPage(page, len(letters), name_of(page[-1]) if more and page else None)

    async def one(self, topic_name: str, offset: int) -> tuple[DeadLetter, Record]:
        """Return a letter with its record. Raises BrokerError, ApiError 404."""
        topic = _known(topic_name)
        async with self._turn, self._log.dead_letters() as dead:
            letter = _found(await dead.list_all((topic,)), offset)
            record = await dead.record(topic, offset)
        if record is None:
            raise no_such("dead letter")
        return letter, record

    async def replay(self, topic_name: str, offset: int, *, force: bool) -> int:
        """Send a letter again, and return its new offset. Raises BrokerError, ApiError 404, 409."""
        topic = _known(topic_name)
        async with self._turn, self._log.dead_letters() as dead:
            letter = _open_one(await dead.list_all((topic,)), offset)
            outcomes = [outcome async for outcome in dead.replay([letter], force=force)]
            if not outcomes:
                raise no_such("dead letter")
            if outcomes[0].refused:
                raise ApiError(409, "refused", f"It was not sent again: {outcomes[0].refused}")
            await dead.trim((topic,))
        return int(outcomes[0].offset or 0)

    async def drop(self, topic_name: str, offset: int) -> None:
        """Be done with a letter. Raises BrokerError, ApiError 404, 409."""
        topic = _known(topic_name)
        async with self._turn, self._log.dead_letters() as dead:
            await dead.drop([_open_one(await dead.list_all((topic,)), offset)])
            await dead.trim((topic,))


class LetterCounts:
    """How many letters of each topic nobody has dealt with; counted again when their topic has changed."""

    def __init__(self, opening: Log) -> None:
        self._log = opening
        self._counted: dict[Topic, tuple[Extent, int]] = {}
        self._counted_at = float("-inf")

    async def count(self, extents: Mapping[Partition, Extent], now_s: float) -> dict[str, int]:
        """Return the counts by the topics' names. Raises BrokerError."""
        news = [
            topic
            for topic in TOPICS
            if self._counted.get(topic, (Extent(0, 0), 0))[0] != extents[Partition(topic.dlq, 0)]
        ]
        if news and now_s - self._counted_at > COUNT_EVERY_SECONDS:
            self._counted_at = now_s
            await self._look(news, extents)
        return {topic.name: count for topic, (_, count) in self._counted.items()}

    async def _look(self, topics: Sequence[Topic], extents: Mapping[Partition, Extent]) -> None:
        places = {topic: extents[Partition(topic.dlq, 0)] for topic in topics}
        # Too many to be read in time: about as many as there are records.
        counts = {topic: end - begin for topic, (begin, end) in places.items()}
        async with self._log.dead_letters() as dead:
            with suppress(TimeoutError):
                async with asyncio.timeout(COUNT_SECONDS):
                    letters = await dead.list_all([topic for topic in topics if counts[topic]])
                counts = {t: sum(not letter.state for letter in letters if letter.topic == t) for t in topics}
        self._counted |= {topic: (places[topic], count) for topic, count in counts.items()}


def name_of(letter: DeadLetter) -> str:
    """Return what a letter is called in a page's `next` and `before`."""
    return f"{letter.topic.name}/{letter.offset}"


def _after(letters: Sequence[DeadLetter], name: str) -> int:
    """Return how many letters to skip: up to the named one, or all that are newer if it is gone."""
    at = next((at for at, letter in enumerate(letters) if name_of(letter) == name), None)
    if at is None:
        raise invalid("before", "There is no such dead letter (any more). Begin again without it.")
    return at + 1


def _topic(name: str) -> Topic:
    topic = topic_named(name)
    if topic is None:
        raise invalid("topic", f"There is no topic {name!r}.")
    return topic


def _known(name: str) -> Topic:
    topic = topic_named(name)
    if topic is None:
        raise no_such("topic")
    return topic


def _found(letters: Sequence[DeadLetter], offset: int) -> DeadLetter:
    letter = next((letter for letter in letters if letter.offset == offset), None)
    if letter is None:
        raise no_such("dead letter")
    return letter


def _open_one(letters: Sequence[DeadLetter], offset: int) -> DeadLetter:
    letter = _found(letters, offset)
    if letter.state:
        raise ApiError(409, "done", f"It was {letter.state} before.")
    return letter
