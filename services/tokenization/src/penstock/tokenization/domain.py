"""Prompt arithmetic: where passages go, what history is kept, how many tokens are left for passages."""

from collections.abc import Sequence
from dataclasses import dataclass

from penstock.messages.chat import Message

INTRODUCTION_TOKENS = 64
"""Set aside for the words with which generation introduces passages."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model takes, in tokens: of prompt, and of prompt and answer together; and its name."""

    max_input: int
    max_total: int
    model: str = ""


@dataclass(frozen=True, slots=True)
class Templated:
    """A conversation in the model's chat template, and its length in tokens."""

    text: str
    tokens: int


class NoQuestion(Exception):
    """The conversation has no last turn to answer."""


def question_of(messages: Sequence[Message]) -> str:
    """Return the text of the last user turn. Raises NoQuestion if the conversation has none."""
    for message in reversed(messages):
        if message.role == "user" and message.content.strip():
            return message.content
    raise NoQuestion


def with_gap(messages: Sequence[Message], gap: str) -> list[Message]:
    """Return the messages with `gap` put in front of the last user turn, where passages will stand."""
    last = max(index for index, message in enumerate(messages) if message.role == "user")
    return [
        Message(role=message.role, content=gap + message.content) if index == last else message
        for index, message in enumerate(messages)
    ]


def with_system(messages: Sequence[Message], text: str) -> list[Message]:
    """Return the messages with a system message in front, unless there is one or there is nothing to say."""
    if not text or any(message.role == "system" for message in messages):
        return list(messages)
    return [Message(role="system", content=text), *messages]


def without_oldest_turn(messages: Sequence[Message]) -> list[Message] | None:
    """Return the messages less the oldest that may go, or None when nothing may.

    Instructions (system) and everything from the last user turn on always stay.
    """
    last = max(index for index, message in enumerate(messages) if message.role == "user")
    for index, message in enumerate(messages[:last]):
        if message.role != "system":
            return [*messages[:index], *messages[index + 1 :]]
    return None


def passage_tokens(limits: Limits, prompt: int, answer: int, wanted: int) -> int:
    """Return how many tokens of passages fit beside a prompt and an answer, at most `wanted`."""
    room = min(limits.max_total - answer, limits.max_input) - prompt - INTRODUCTION_TOKENS
    return max(0, min(wanted, room))
