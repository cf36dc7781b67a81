"""What PostgreSQL's manual gives to ask about: its commands, functions and parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from selectolax.lexbor import LexborHTMLParser, LexborNode

from e2e.eval.corpus import Page
from e2e.eval.facts import Asked, Entry, Source, first_sentence, task_of

_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_UNITS = (
    "microseconds|milliseconds|seconds?|minutes?|hours?|days?|kilobytes|megabytes|gigabytes|bytes"
    "|ms|min|s|m|h|d|kB|MB|GB"
)
_COUNT = rf"(?:\d+(?:\.\d+)*|{'|'.join(_NUMBERS)})(?: (?:million|billion))?(?: ?(?:{_UNITS})\b)?"
_DEFAULT = re.compile(
    rf"\bthe default(?: value| setting)? is (?:typically |normally )?"
    rf"(?:(?P<count>{_COUNT})(?: [a-z]+)?|(?P<word>[\w./:$-]*\w))"
    rf"(?: \((?P<short>{_COUNT})\))?(?=[.,;:](?:\s|$)|$| \()",
    re.IGNORECASE,
)
_ANY_DEFAULT = re.compile(r"\bdefault(?: value| setting)? is\b")
_UNIT = re.compile(rf"\bit is taken as ({_UNITS})\b")
_WRAPPER = "is a wrapper around"


class Purpose(NamedTuple):
    """What a reference page says in one line: the names that it is about, and what they do."""

    names: str
    task: str


def purpose_of(tree: LexborHTMLParser) -> Purpose | None:
    """Return the purpose of a page of the reference; none of another page."""
    line = tree.css_first("div.refnamediv p")
    names, dash, task = _plain(line).partition(" — ") if line else ("", "", "")
    return Purpose(names, task) if dash else None


def source(pages: Sequence[Page]) -> Source:
    """Return what the pages give to ask about."""
    entries: list[Entry] = []
    parameters: list[str] = []
    values: list[Asked] = []
    texts = []
    for page in pages:
        tree = LexborHTMLParser(page.path.read_text(encoding="utf-8"))
        texts.append(_plain(tree.body).casefold() if tree.body else "")
        purpose = purpose_of(tree)
        entries += _command(page, tree, purpose) if purpose else _functions(page, tree)
        for name, told in _parameters(tree):
            parameters.append(name)
            values += _values(page, name, told)
    text = "\n".join(texts)
    no_such = [
        *(f"What does {name} do?" for name in invented([entry.name for entry in entries], text)),
        *(f"What is the default of {name}?" for name in invented(parameters, text)),
    ]
    return Source("command or function", entries, no_such, NEAR, values)


def invented(names: Sequence[str], text: str) -> list[str]:
    """Return names that begin as one of these and end as another of them, and that the text does not hold."""
    made = []
    for separator in " _":
        parts = [name.rpartition(separator) for name in sorted(set(names)) if separator in name]
        half = len(parts) // 2
        pairs = zip(parts, parts[half:] + parts[:half], strict=True)
        made += [f"{begin}{separator}{end}" for (begin, _, _), (_, _, end) in pairs]
    return [name for name in made if name.casefold() not in text]


def _command(page: Page, tree: LexborHTMLParser, purpose: Purpose) -> Iterator[Entry]:
    """Yield the one command of a reference page, unless another does the same."""
    task = task_of(purpose.task)
    if task and "," not in purpose.names and _WRAPPER not in _plain(tree.body):
        yield Entry(page.name, purpose.names, task, _described(tree, purpose.names))


def _described(tree: LexborHTMLParser, name: str) -> str:
    """Return what the description says first that a command does, if it begins with that: "X copies ..."."""
    sentence = _plain(tree.css_first("div.refsect1 p")).partition(". ")[0]
    said = re.match(rf"(?:The )?{re.escape(name)}(?:\(\))?(?: command)? (.+)", sentence)
    return sentence if said and task_of(said[1].partition(" and ")[0]) else ""


def _functions(page: Page, tree: LexborHTMLParser) -> Iterator[Entry]:
    """Yield the functions of a page's tables, with what they do where a row is about one of them."""
    for cell in tree.css("td.func_table_entry"):
        names = {_plain(name) for name in cell.css("p.func_signature code.function")}
        told = [_plain(line) for line in cell.css("p:not(.func_signature)")]
        task = task_of(first_sentence(told[0])) if told and len(names) == 1 else ""
        yield from (Entry(page.name, name, task) for name in sorted(names))


def _parameters(tree: LexborHTMLParser) -> Iterator[tuple[str, LexborNode]]:
    """Yield the configuration parameters that a page describes, each with its description."""
    for term in tree.css('dt[id^="GUC-"]'):
        names, told = term.css("code.varname"), term.next
        if len(names) == 1 and told is not None and told.tag == "dd":
            yield _plain(names[0]), told


def _values(page: Page, name: str, told: LexborNode) -> Iterator[Asked]:
    """Yield a question about a parameter's default, or else its unit, where the page says it clearly."""
    default, unit = _defaults(told), _UNIT.search(_plain(told))
    if default and default[0] not in name:
        yield Asked("value", f"What is the default of {name}?", page.name, default)
    elif unit:
        yield Asked("value", f"What is the unit of {name}?", page.name, (unit[1],))


def _defaults(told: LexborNode) -> tuple[str, ...]:
    """Return a parameter's default, in each form that an answer may have; nothing if it is unclear."""
    text = _plain(told)
    literals = {_plain(literal) for literal in told.css("code.literal")} - {"on", "off", "none"}
    default = _DEFAULT.search(text)
    if default is None or len(_ANY_DEFAULT.findall(text)) > 1:
        return ()
    if default["word"]:
        return (default["word"],) if default["word"] in literals else ()
    return tuple(form for one in (default["count"], default["short"]) if one for form in _forms(one))


def _forms(value: str) -> tuple[str, ...]:
    """Return a value in words and in digits, and without ".0": "five minutes", "5 minutes"."""
    first, space, rest = value.partition(" ")
    written = {word: str(number) for number, word in enumerate(_NUMBERS)}
    read = {digits: word for word, digits in written.items()}
    whole = first.removesuffix(".0")
    firsts = {first: None, whole: None, written.get(first, first): None, read.get(whole, first): None}
    return tuple(f"{one}{space}{rest}" for one in firsts)


def _plain(node: LexborNode | None) -> str:
    return " ".join(node.text().split()) if node else ""


NEAR = (
    "Which parameter of PostgreSQL turns on columnar storage of tables?",
    "How do I read Parquet files with COPY?",
    "How do I run PostgreSQL in a Kubernetes cluster?",
    "Which command of psql draws a pie chart of a query's result?",
    "Which function returns the exchange rate of two currencies?",
    "How do I train a neural network with an aggregate function?",
    "Which index type keeps its data in the memory of a GPU?",
    "How do I upload a dump to Google Drive with pg_dump?",
    "Which data type holds videos?",
    "Which parameter makes the server send an e-mail when a disk is full?",
    "How do I answer GraphQL requests with a view?",
    "Which function draws a QR code?",
)
"""About the manual's subject, and not in it."""
