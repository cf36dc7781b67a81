"""The prompt: passages put into the gap that tokenization left for them."""

from collections.abc import Sequence

from penstock.messages.chat import ChatRetrieved, Passage

_TITLE_CHARACTERS = 60  # with its number, within the 16 tokens that retrieval charges a passage for them
_QUESTION = "Based on the text above, answer briefly: "


def render(request: ChatRetrieved) -> str:
    """Return the whole prompt. Without passages it is the plain conversation.

    The best passage stands last, next to the question: a small model attends most to what is near. Each
    carries the number by which an answer may name it.
    """
    return request.prompt_before + _passages(request.passages) + request.prompt_after


def _passages(passages: Sequence[Passage]) -> str:
    if not passages:
        return ""
    blocks = [
        f"[{number}] {passage.title}\n{passage.text.strip()}\n\n"
        for number, passage in enumerate(passages, 1)
    ]
    return "".join(reversed(blocks)) + _QUESTION
