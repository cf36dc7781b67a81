"""What tokenization needs of the world."""

from collections.abc import Sequence
from typing import Protocol

from penstock.messages.chat import Message
from penstock.tokenization.domain import Limits, Templated


class Model(Protocol):
    """The backend's tokenizer and limits. Calls raise TransientError or PermanentError."""

    async def limits(self) -> Limits:
        """Return what the model takes."""

    async def chat(self, messages: Sequence[Message], gap: str) -> Templated:
        """Return the messages in the model's chat template; the tokens of `gap` are not counted."""
