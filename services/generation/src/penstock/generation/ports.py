"""What generation needs of a backend, and of those who know whether an answer is still wanted."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from penstock.clients.models import ModelProfile
from penstock.messages.chat import CancelReason, FinishReason, Sampling


class Token(NamedTuple):
    """One token's text (empty for a special token, or for the first half of a character)."""

    text: str


class End(NamedTuple):
    """Why the model has ended, and how many tokens it has written."""

    reason: FinishReason
    tokens: int


class BackendFailed(Exception):
    """The backend cannot be reached, or broke off: another attempt may succeed."""


class BackendBusy(BackendFailed):
    """The backend is well, but takes no more requests for now."""


class BackendAway(BackendFailed):
    """The backend is not there for now: nothing was asked of it."""


class BackendRefused(Exception):
    """The backend will not take this request; the message says why, for the client."""


class Backend(Protocol):
    """One model server with a bounded number of slots."""

    @property
    def url(self) -> str:
        """Where it is, for logs."""

    @property
    def slots(self) -> int:
        """How many requests it takes at once (0 while it cannot be reached)."""

    @property
    def profile(self) -> ModelProfile:
        """What is known of its model (nothing while it cannot be reached)."""

    async def check(self) -> None:
        """Ask the backend for its slots and its model."""

    def stream(self, prompt: str, sampling: Sampling) -> AsyncGenerator[Sequence[Token | End], None]:
        """Yield the tokens that continue `prompt`, those that come together as one list; End is the last.

        Closing it frees the slot. It does not watch the clock: how long a token may take is the caller's to
        know. Raises BackendFailed, BackendBusy or BackendRefused.
        """


class Cancellations(Protocol):
    """Knows which requests are given up."""

    def is_given_up(self, request_id: str) -> bool:
        """Return whether nobody wants the answer of a request any more."""

    def watch(self, request_id: str) -> AbstractContextManager[asyncio.Future[CancelReason]]:
        """Return a future that ends, with the reason, once the request is to be cancelled; perhaps it has."""
