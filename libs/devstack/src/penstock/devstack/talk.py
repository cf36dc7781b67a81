"""Asking and ingesting with what the user sees meanwhile; shared by the commands and the demo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.text import Text as Styled

from penstock.devstack.ask import Citation, Question, Text, ask, first_model, is_local
from penstock.devstack.documents import Document, Skipped, find_documents
from penstock.devstack.errors import DevstackError
from penstock.devstack.ingest import Progress, ingest
from penstock.devstack.plain import plain
from penstock.devstack.state import StateDir
from penstock.devstack.tokens import Tokenizer, tgi_url

TENANT = "default"
_QUOTE_CHARACTERS = 160


async def ask_aloud(
    console: Console,
    url: str,
    key: str,
    question: str,
    *,
    model: str | None = None,
    max_tokens: int | None = None,
    temperature: float | None = None,
) -> str:
    """Prints the answer as it arrives, then its citations; returns the model's name."""
    model = model or await first_model(url, key)
    async for part in ask(url, key, Question(question, model, max_tokens, temperature)):
        if isinstance(part, Text):
            console.print(plain(part.text), end="", markup=False, emoji=False, soft_wrap=True)
            console.file.flush()
            continue
        console.print()
        if part.finish_reason == "length":
            console.print("(cut at the limit of tokens)", style="dim")
        if part.citations:
            console.print("\nCitations")
        for citation in part.citations:
            console.print(_shown(citation))
    return model


def _shown(citation: Citation) -> Styled:
    quote = " ".join(plain(citation.quote).split())
    quote = quote if len(quote) <= _QUOTE_CHARACTERS else f"{quote[:_QUOTE_CHARACTERS].rstrip()}…"
    line = Styled(f"  [{citation.index}] {plain(citation.title)}", style="bold")
    line.append(f", characters {citation.start}–{citation.end}: ", style="not bold dim")
    return line.append(f"“{quote}”", style="not bold")


async def ingest_aloud(
    console: Console, path: Path, bootstrap: str, backends: str, *, tenant: str = TENANT
) -> None:
    """Ingests with a progress bar; DevstackError if nothing could be ingested."""
    found = list(_without_texts(path))
    for skipped in found:
        if isinstance(skipped, Skipped):
            console.print(
                f"    left out {plain(skipped.name)}: {skipped.reason}", markup=False, style="yellow"
            )
    names = sum(isinstance(item, str) for item in found)
    if not names:
        raise DevstackError(f"Nothing to ingest in {path}")
    url = tgi_url(backends)
    with Bar(
        TextColumn("    {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("chunks indexed", total=None)

        def changed(now: Progress) -> None:
            # The total is known only when the last document is cut; until then it grows with them.
            guess = now.chunks * names // max(now.documents, 1)
            bar.update(task, completed=now.indexed, total=max(guess, now.chunks))

        progress = Progress(changed)
        async with httpx2.AsyncClient(timeout=60.0, trust_env=not is_local(url)) as client:
            await ingest(bootstrap, Tokenizer(client, url), tenant, _documents(path), progress)
    console.print(f"    {progress.documents} documents, {progress.indexed} chunks indexed")


def _without_texts(path: Path) -> Iterator[str | Skipped]:
    """First pass: what will be ingested and what not; no two texts are in memory at once."""
    for item in find_documents(path):
        yield item if isinstance(item, Skipped) else item.name


def _documents(path: Path) -> Iterator[Document]:
    return (item for item in find_documents(path) if isinstance(item, Document))


def read_key(state: StateDir) -> str:
    """The API key that the gateway has made at its first start, or an empty string."""
    try:
        return state.api_key.read_text(encoding="ascii").strip()
    except OSError:
        return ""
