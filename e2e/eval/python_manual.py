"""What Python's library reference gives to ask about: its functions, methods and classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from selectolax.lexbor import LexborHTMLParser, LexborNode

from e2e.eval.corpus import Page, is_held_out
from e2e.eval.facts import Entry, Source, first_sentence, task_of


def source(pages: Sequence[Page]) -> Source:
    """Return what the library reference gives to ask about; the pages that are held out are judged."""
    known = list(entries([page for page in pages if page.name.startswith("library/")]))
    no_such = [f"What does {entry.name}_backwards do?" for entry in known]
    return Source("function or class", known, no_such, NEAR)


def entries(pages: Sequence[Page]) -> Iterator[Entry]:
    """Yield what the pages say of functions, methods and classes."""
    for page in pages:
        tree = LexborHTMLParser(page.path.read_text(encoding="utf-8"))
        for definition in tree.css("dl.py.function, dl.py.method, dl.py.class"):
            yield from _entry(page, definition)


def _entry(page: Page, definition: LexborNode) -> Iterator[Entry]:
    term = definition.css_first("dt[id]")
    told = next((child.first_child for child in definition.iter() if child.tag == "dd"), None)
    if term is None or told is None or told.tag != "p":
        return
    name, task = term.attributes.get("id") or "", task_of(first_sentence(told.text()))
    if "." in name and task:
        yield Entry(page.name, name, task, judged=is_held_out(page.name))


NEAR = (
    "Which function of shutil uploads a folder to S3?",
    "How do I connect to a PostgreSQL database with the sqlite3 module?",
    "What is the default number of retries of urllib.request?",
    "Which module trains neural networks?",
    "How many bytes does an empty dict take in version 3.2?",
    "Which function of the math module solves differential equations?",
    "How do I draw a pie chart with the statistics module?",
    "What is the highest port that socketserver accepts by default?",
    "Which function of json reads YAML files?",
    "How do I send a push notification with asyncio?",
)
"""About the manual's subject, and not in it."""
