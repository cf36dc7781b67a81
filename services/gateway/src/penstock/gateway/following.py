"""Who waits for which answer: events from the log in, wake-ups of the HTTP responses out."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from penstock.gateway.domain.answer import Answer, Effect
from penstock.gateway.domain.errors import ApiError
from penstock.gateway.domain.request_info import RequestInfo
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
        """The answer so far."""
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

    Its answer holds all that the log said up to the place of the live reader; live events go on from there.
    """

    def __init__(self, info: RequestInfo, answer: Answer) -> None:
        self.info = info
        self.answer = answer
        self.followers: set[Follower] = set()

    @property
    def usable(self) -> bool:
        """Whether another may join. An end that is not the log's is for those alone who were here."""
        return self.answer.end is None or self.answer.final

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

    def usable(self, request_id: str) -> Subject | None:
        """Return a request that somebody follows and another may join, else None."""
        subject = self._subjects.get(request_id)
        return subject if subject is not None and subject.usable else None

    @contextmanager
    def subscribe(
        self, request_id: str, info: RequestInfo, answer: Answer | None = None
    ) -> Iterator[Follower]:
        """Take part in the answer to a request; its state goes when the last follower has left.

        Unless it is followed already, it begins with `answer`, all that the log says of it up to now; None
        stands for a question that is not in the log yet.
        """
        subject = self.usable(request_id)
        if subject is None:
            subject = self._subjects[request_id] = Subject(info, answer or self.new_answer())
        follower = Follower(subject)
        subject.followers.add(follower)
        try:
            yield follower
        finally:
            subject.followers.remove(follower)
            if not subject.followers and self._subjects.get(request_id) is subject:
                del self._subjects[request_id]

    def apply(self, request_id: str, event: Event) -> Effect:
        """Pass on what the log says live about a request."""
        subject = self._subjects.get(request_id)
        if subject is None:
            return Effect.NOTHING
        effect = subject.answer.apply(event)
        if effect is Effect.NEWS:
            subject.wake()
        return effect

    def fail(self, request_id: str, error: ApiError) -> None:
        """End an answer from here, if it has not ended."""
        subject = self._subjects.get(request_id)
        if subject is not None and subject.answer.fail(error) is Effect.NEWS:
            subject.wake()

    def fail_all(self, error: ApiError) -> None:
        """End all answers that have not ended."""
        for request_id in list(self._subjects):
            self.fail(request_id, error)
