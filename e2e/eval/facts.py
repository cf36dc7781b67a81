"""Questions with known answers, from Python's library reference; and some that it cannot answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from selectolax.lexbor import LexborHTMLParser, LexborNode

from e2e.eval.corpus import Page

FORMS = (
    "What can I use to {task}?",
    "How do I {task}?",
    "Which function or class should I call to {task}?",
    "Can you tell me how to {task}, please?",
    "I want to {task}. What is there for that?",
)
KINDS = ("task", "purpose", "elsewhere", "near")
_SHORTEST, _LONGEST = 25, 110
_USUAL_VERBS = """
add append build call change check close compare compress compute convert copy count create decode
delete disable discard display divide encode execute extract fill find flush format generate get
give insert install iterate join list load lock make merge move obtain open parse perform print
process put query raise read receive register release remove rename replace reset resolve restore
return reverse rotate run save schedule search send set shut sort split start stop store strip
suspend swap terminate test translate unpack update use validate verify wait write
"""
_VERBS = frozenset(_USUAL_VERBS.split())
_SENTENCE = re.compile(r"(.+?[.])(?:\s|$)")


@dataclass(frozen=True)
class Asked:
    """A question; `page` answers it, and a right answer holds `fact`. Both are empty where nothing does."""

    kind: str
    text: str
    page: str = ""
    fact: str = ""

    @property
    def has_answer(self) -> bool:
        """Whether the documents hold the answer."""
        return bool(self.page)


@dataclass(frozen=True)
class Entry:
    """What the reference describes: its full name, and the first sentence that is said of it."""

    page: str
    name: str
    sentence: str


def entries(pages: Sequence[Page]) -> Iterator[Entry]:
    """Yield the entries of these pages whose description begins with a sentence of a usual length."""
    for page in pages:
        tree = LexborHTMLParser(page.path.read_text(encoding="utf-8"))
        for definition in tree.css("dl.py.function, dl.py.method, dl.py.class"):
            found = _entry(page, definition)
            if found is not None:
                yield found


def asked(pages: Sequence[Page], each: int, random: Random) -> list[Asked]:
    """Return at most so many questions of each kind, in the same order for the same draw."""
    known = list(entries(pages))
    by_task = {task: entry for entry in known if (task := _task(entry))}
    tasks = random.sample(sorted(by_task), min(each, len(by_task)))
    others = random.sample(known, min(each, len(known)))
    invented = random.sample(known, min(each - len(NEAR), len(known))) if each > len(NEAR) else []
    return [
        *(_of_task(number, task, by_task[task]) for number, task in enumerate(tasks)),
        *(Asked("purpose", f"What does {one.name} do?", one.page, one.sentence) for one in others),
        *(Asked("elsewhere", text) for text in ELSEWHERE[:each]),
        *(Asked("near", text) for text in NEAR[:each]),
        *(Asked("near", f"What does {_no_such(one.name)} do?") for one in invented),
    ]


def _of_task(number: int, task: str, entry: Entry) -> Asked:
    return Asked("task", FORMS[number % len(FORMS)].format(task=task), entry.page, _last(entry.name))


def _entry(page: Page, definition: LexborNode) -> Entry | None:
    term, body = definition.css_first("dt[id]"), definition.css_first("dd > p")
    if term is None or body is None:
        return None
    text = " ".join(body.text().split())
    sentence = _SENTENCE.match(text)
    name = term.attributes.get("id") or ""
    if sentence is None or not _SHORTEST <= len(sentence.group(1)) <= _LONGEST or "." not in name:
        return None
    return Entry(page.name, name, sentence.group(1))


def _task(entry: Entry) -> str:
    """Return what an entry does as a task, or "" where its sentence does not begin with a usual verb."""
    first, _, rest = entry.sentence.rstrip(".").partition(" ")
    verb = first.casefold()
    if _last(entry.name).casefold() in entry.sentence.casefold() or verb not in _VERBS:
        return ""
    return f"{verb} {rest}"


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _no_such(name: str) -> str:
    """Return a name like this one that there is not."""
    module, _, last = name.rpartition(".")
    return f"{module}.{last}_backwards"


ELSEWHERE = (
    "Who won the World Cup of 1998?",
    "What is the capital of Australia?",
    "How long do I boil an egg?",
    "Which planet is closest to the sun?",
    "Who painted the Mona Lisa?",
    "How do I descale a coffee machine?",
    "What is the boiling point of ethanol?",
    "When did the Berlin Wall fall?",
    "How many players are in a volleyball team?",
    "What does a notary charge for a will?",
    "Which vitamins are in spinach?",
    "How do I prune an apple tree?",
    "Who wrote Pride and Prejudice?",
    "What is the speed limit on Dutch motorways?",
    "How high is Mount Kilimanjaro?",
    "Which river flows through Vienna?",
    "How do I treat a wasp sting?",
    "What is the currency of Norway?",
    "When is the next leap year?",
    "How much does a litre of milk weigh?",
)
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
