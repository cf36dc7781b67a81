"""Asking with what the user sees meanwhile; shared by the command and the demo."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text as Styled

from penstock.devstack.ask import Citation, Question, Text, ask, first_model
from penstock.devstack.plain import plain

_QUOTE_CHARACTERS = 160
_REMARKS = {
    "quoted": "(quoted from the documents, no model was asked)",
    "not_found": "(this is not in the documents)",
    "unsupported": "(the passages found do not support this answer)",
}


async def ask_aloud(
    console: Console,
    url: str,
    key: str,
    question: str,
    *,
    model: str | None = None,
    max_tokens: int | None = None,
    temperature: float | None = None,
    answers: str | None = None,
    fallback: str | None = None,
) -> str:
    """Prints the answer as it arrives, then its citations; returns the model's name."""
    model = model or await first_model(url, key)
    async for part in ask(url, key, Question(question, model, max_tokens, temperature, answers, fallback)):
        if isinstance(part, Text):
            console.print(plain(part.text), end="", markup=False, emoji=False, soft_wrap=True)
            console.file.flush()
            continue
        console.print()
        if part.finish_reason == "length":
            console.print("(cut at the limit of tokens)", style="dim")
        if part.grounding in _REMARKS:
            console.print(_REMARKS[part.grounding], style="dim")
        if part.citations:
            console.print("\nCitations")
        for citation in part.citations:
            console.print(_shown(citation))
    return model


def _shown(citation: Citation) -> Styled:
    quote = " ".join(plain(citation.quote).split())
    quote = quote if len(quote) <= _QUOTE_CHARACTERS else f"{quote[:_QUOTE_CHARACTERS].rstrip()}…"
    line = Styled(f"  [{citation.index}] {plain(citation.title)}", style="bold")
    line.append(f", {plain(_place(citation))}: ", style="not bold dim")
    return line.append(f"“{quote}”", style="not bold")


def _place(citation: Citation) -> str:
    """File, page or headings, characters."""
    parts = [citation.filename] if citation.filename else []
    if citation.page:
        parts.append(f"page {citation.page}")
    elif citation.headings:
        parts.append(" > ".join(citation.headings))
    return ", ".join([*parts, f"characters {citation.start}–{citation.end}"])
