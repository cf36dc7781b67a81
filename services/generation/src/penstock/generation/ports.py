"""What generation needs of a backend."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from penstock.messages.chat import FinishReason, Sampling


@dataclass(frozen=True, slots=True)
class Token:
    """One token's text (empty for a special token, or for the first half of a character)."""

    text: str


@dataclass(frozen=True, slots=True)
class End:
    """Why the model has ended, and how many tokens it has written."""

    reason: FinishReason
    tokens: int


class BackendFailed(Exception):
    """The backend cannot be reached, is overloaded or broke off: another attempt may succeed."""


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

    async def check(self) -> None:
        """Ask the backend for its slots."""

    def stream(self, prompt: str, sampling: Sampling) -> AsyncGenerator[Token | End, None]:
        """Yield the tokens that continue `prompt`, then End. Closing it frees the slot.

        Raises BackendFailed or BackendRefused.
        """
