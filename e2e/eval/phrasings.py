"""The same question in many phrasings: how often its page comes first, beside the plain form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from selectolax.lexbor import LexborHTMLParser

from e2e.bench.tables import Table
from e2e.eval.corpus import Page
from e2e.eval.indexing import TENANT
from e2e.eval.metrics import rank_of
from e2e.eval.postgresql_manual import purpose_of
from penstock.retrieval.domain.passages import Found
from penstock.retrieval.domain.scope import Scope
from penstock.retrieval.searching import Searcher

PLAIN = "{x}"
PHRASINGS = (
    "Which PostgreSQL command does this: {x}?",
    "Can you tell me how to {x}, please?",
    "How do I {x}?",
    "What is the SQL command to {x}?",
    "I need to {x}. What should I use?",
    "Is there a way to {x}?",
    "Name the statement that can be used to {x}.",
    "Hi! I'm new to databases and would like to {x}, could you help me?",
    "Answer in one sentence: how does one {x} in PostgreSQL?",
    "According to the documentation, which command would I use in order to {x}?",
    "I was wondering whether it is possible to {x}. Thanks in advance!",
    "Where does the manual say how to {x}?",
    "My colleague asked me to {x} and I have no idea which command does that. Can you explain?",
    "{x} - how is that done?",
    "Please find me the page about the command that lets you {x}",
    "Suppose that I want to {x}: which command do I have to type?",
)
_FIRST_OF = 5
_LIMIT = 20


@dataclass(frozen=True)
class Known:
    """What a page's command does, and the page."""

    task: str
    page: str


def known(pages: Sequence[Page]) -> Iterator[Known]:
    """Yield what the commands of PostgreSQL's manual do, of each that only one does."""
    tasks: dict[str, list[str]] = {}
    for page in pages:
        if not page.name.startswith("sql-"):
            continue
        found = purpose_of(LexborHTMLParser(page.path.read_text(encoding="utf-8")))
        if found is not None:
            tasks.setdefault(found.task, []).append(page.name)
    yield from (Known(task, names[0]) for task, names in tasks.items() if len(names) == 1)


async def measure(asked: Sequence[Known], searcher: Searcher) -> Table:
    """Return the share of first places, and of the first five, of each phrasing."""
    rows = []
    plain = 0.0
    for phrasing in (PLAIN, *PHRASINGS):
        places = [await _place(searcher, phrasing.format(x=one.task), one.page) for one in asked]
        first = _share(places, 1)
        plain = first if phrasing == PLAIN else plain
        rows.append([phrasing, f"{first:.3f}", f"{first - plain:+.3f}", f"{_share(places, _FIRST_OF):.3f}"])
    headings = ("phrasing", "recall@1", "beside the plain form", "recall@5")
    return Table("The same question in other words", headings, rows)


async def _place(searcher: Searcher, question: str, page: str) -> int | None:
    found: Sequence[Found] = await searcher.search(Scope(TENANT), [question], _LIMIT)
    return rank_of(page, [each.passage.document_id for each in found])


def _share(places: Sequence[int | None], most: int) -> float:
    return sum(place is not None and place <= most for place in places) / (len(places) or 1)
