"""What the handlers need from the world outside."""

from collections.abc import Callable, Sequence
from typing import Protocol

from penstock.inference.domain.generation import Delta, Job

Sink = Callable[[Delta], None]


class Ticket(Protocol):
    """One request that the engine has taken."""


class TextEngine(Protocol):
    """A running batch that requests join and leave."""

    def submit(self, job: Job, sink: Sink) -> Ticket:
        """Queue a job; `sink` is called on the event loop with every delta.

        Raises OverloadedError when too many requests are open, UnhealthyError when no model is loaded.
        """
        ...

    def cancel(self, ticket: Ticket) -> None:
        """Take a request out of the batch before the next step; nothing more is sent to its sink."""
        ...


class TextTokenizer(Protocol):
    """The tokenizer of the model, exactly as the engine uses it."""

    def encode(self, text: str) -> list[int]:
        """Return the ids that the engine would see for this prompt."""
        ...

    def pieces(self, ids: Sequence[int]) -> list[bytes]:
        """Return the bytes behind each id."""
        ...

    def chat(self, messages: Sequence[dict[str, str]]) -> str:
        """Return the messages as one prompt, by the model's own chat template, ready for an answer."""
        ...
