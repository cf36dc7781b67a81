"""The prompt: passages put into the gap that tokenization left for them."""

from collections.abc import Sequence

from penstock.messages.chat import ChatRetrieved, Passage

_INTRODUCTION = (
    "Answer the question with the help of these passages. Name the passages you use, like [1].\n\n"
)
_QUESTION = "Question: "


def render(request: ChatRetrieved) -> str:
    """Return the whole prompt. Without passages it is the plain conversation."""
    return request.prompt_before + _passages(request.passages) + request.prompt_after


def _passages(passages: Sequence[Passage]) -> str:
    if not passages:
        return ""
    blocks = [
        f"[{number}] {passage.title}\n{passage.text.strip()}\n\n"
        for number, passage in enumerate(passages, 1)
    ]
    return _INTRODUCTION + "".join(blocks) + _QUESTION
