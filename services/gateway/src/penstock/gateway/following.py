"""Who waits for which answer: events from the log in, wake-ups of the HTTP responses out."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from penstock.gateway.domain.answer import Answer, Told
from penstock.gateway.domain.asked import Asked
from penstock.gateway.domain.errors import ApiError
from penstock.messages.event import Event


class Follower:
    """One HTTP response that shows an answer, at its own pace: the answer itself is kept once, for all."""

    def __init__(self, subject: "Subject") -> None:
        self.subject = subject
        self.gone = False
        self._woken = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def answer(self) -> Answer:
        """The answer so far. Recalling replaces it; from then on it stays the same object."""
        return self.subject.answer

    def wake(self) -> None:
        """Let `news` return; many calls before that count as one."""
        self._woken = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def leave(self) -> None:
        """Say that the client has gone."""
        self.gone = True
        self.wake()

    async def news(self) -> None:
        """Wait until `wake` was called since the last time."""
        if not self._woken:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._woken = False


class Subject:
    """One request that somebody follows.

    It is `live` once its answer holds all that the log said up to the place of the live reader, so that live
    events go on from there. A new question's is so from the start; another's is when it has been recalled.
    """

    def __init__(self, asked: Asked, answer: Answer, live: bool) -> None:
        self.asked = asked
        self.answer = answer
        self.live = live
        self.followers: set[Follower] = set()
        self.recalling: asyncio.Task[None] | None = None

    def adopt(self, answer: Answer) -> None:
        """Go on live from an answer that was read from the log, all of it up to now."""
        self.answer = answer
        self.live = True
        self.wake()

    def wake(self) -> None:
        """Tell all followers that there are news."""
        for follower in self.followers:
            follower.wake()


class Following:
    """The answers that somebody waits for, by request id."""

    def __init__(self, max_answer_chars: int) -> None:
        self._max_chars = max_answer_chars
        self._subjects: dict[str, Subject] = {}

    def __len__(self) -> int:
        return len(self._subjects)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._subjects

    def new_answer(self) -> Answer:
        """Return an answer of which nothing is known."""
        return Answer(self._max_chars)

    def asked(self, request_id: str) -> Asked | None:
        """Return what was asked in a request that somebody follows, else None."""
        subject = self._subjects.get(request_id)
        return subject.asked if subject else None

    @contextmanager
    def follow(self, request_id: str, asked: Asked, live: bool = True) -> Iterator[Follower]:
        """Take part in the answer to a request; its state goes when the last follower has left.

        `live` says that nothing of it can be in the log yet; it has no effect if it is followed already.
        """
        subject = self._subjects.get(request_id)
        if subject is None:
            subject = self._subjects[request_id] = Subject(asked, self.new_answer(), live)
        follower = Follower(subject)
        subject.followers.add(follower)
        try:
            yield follower
        finally:
            subject.followers.remove(follower)
            if not subject.followers:
                del self._subjects[request_id]
                if subject.recalling is not None:
                    subject.recalling.cancel()

    def tell(self, request_id: str, event: Event) -> Told:
        """Pass on what the log says live about a request."""
        subject = self._subjects.get(request_id)
        if subject is None or not subject.live:
            # What comes live before the history was read is in the history, too.
            return Told.NOTHING
        told = subject.answer.tell(event)
        if told is Told.NEWS:
            subject.wake()
        return told

    def fail(self, request_id: str, error: ApiError) -> None:
        """End an answer from here, if it has not ended."""
        subject = self._subjects.get(request_id)
        if subject is not None and subject.answer.fail(error) is Told.NEWS:
            subject.wake()

    def fail_all(self, error: ApiError) -> None:
        """End all answers that have not ended."""
        for request_id in list(self._subjects):
            self.fail(request_id, error)
