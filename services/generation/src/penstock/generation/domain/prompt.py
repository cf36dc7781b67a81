"""The prompt: passages put into the gap that tokenization left for them, inside the last user turn."""

from collections.abc import Sequence

from penstock.clients.models import PromptForm
from penstock.generation.domain.label import label
from penstock.generation.domain.neutral import BLOCK, neutral
from penstock.messages.chat import ChatRetrieved, Passage


def render(request: ChatRetrieved, form: PromptForm) -> str:
    """Return the whole prompt. Without passages it is the plain conversation.

    Passages are data: they stand in a block that their text cannot close. Each carries the number by which an
    answer may name it.
    """
    return request.prompt_before + _block(request.passages, form) + request.prompt_after


def _block(passages: Sequence[Passage], form: PromptForm) -> str:
    if not passages:
        return ""
    numbered = [
        f"[{number}] {label(passage)}\n{neutral(passage.text).strip()}\n\n"
        for number, passage in enumerate(passages, 1)
    ]
    if form.best == "last":
        numbered.reverse()
    return f"{form.before}<{BLOCK}>\n{''.join(numbered)}</{BLOCK}>\n{form.question}"
