"""Questions whose answers are known, drawn from what a manual says, and what a right answer has to hold."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from penstock.postprocessing.domain.text import content_words

FORMS = (
    "What can I use to {task}?",
    "How do I {task}?",
    "Which {sort} should I use to {task}?",
    "Can you tell me how to {task}, please?",
    "I want to {task}. What is there for that?",
)
KINDS = ("task", "purpose", "value", "elsewhere", "near")
MOST_VALUES = 20
T = TypeVar("T")
_SHORTEST, _LONGEST = 25, 110
_TELLING, _PROVEN = 3, 2
"""Words that a sentence has to add to the question to be asked for, and that an answer has to hold."""
_USUAL_VERBS = """
add allocate analyze append apply build call cancel change check close cluster collect compare compress
compute concatenate construct control convert copy count create deallocate decode define delete destroy
determine disable discard disconnect display divide empty enable encode establish execute expand extract
fetch fill find flush force format free generate get give import initialize initiate insert install
invoke iterate join list listen load lock make measure merge move obtain open parse perform position
prepare print process put query quote raise read rebuild receive reconstruct register release remove
rename replace report reset resolve restart restore retrieve return reverse roll rotate run save schedule
search select send set show shut sort specify split start stop store stream strip suspend swap
synchronize take terminate test translate truncate unpack update upgrade use validate verify wait write
"""
_VERBS = frozenset(_USUAL_VERBS.split())
_SENTENCE = re.compile(r"(.+?[.])(?:\s|$)")
_LEANING = re.compile(
    r"\b(?:see|above|below|following|this|shown|same as|equivalent|similar(?:ly)?|identical)\b|e\.g\."
)
"""In a sentence that says little without others."""
_SECOND_VERB = re.compile(r"\b(?:and then|and|but|or|then) (\w+)")


@dataclass(frozen=True)
class Asked:
    """A question; `page` answers it, and a right answer holds one of `facts`. Both may be empty."""

    kind: str
    text: str
    page: str = ""
    facts: tuple[str, ...] = ()

    @property
    def has_answer(self) -> bool:
        """Whether the documents hold the answer."""
        return bool(self.page)

    def is_answered_by(self, text: str) -> bool:
        """Return whether a text holds a fact: a name, a value, or half of the words that tell a purpose."""
        if self.kind == "purpose":
            return any(_tells(text, telling_words(self.text, fact)) for fact in self.facts)
        return any(_holds(text, fact, exactly=self.kind == "task") for fact in self.facts)


@dataclass(frozen=True)
class Entry:
    """Something that a manual describes: its full name, what it does ("copy a file"), and more said of that.

    Nothing is asked about one that is not `judged`, since training may have seen its page, and nothing about
    one without a task, of which nothing is known.
    """

    page: str
    name: str
    task: str
    more: str = ""
    judged: bool = True

    @property
    def last_name(self) -> str:
        """The name without what it is part of."""
        return self.name.rpartition(".")[2]


@dataclass(frozen=True)
class Source:
    """What a manual gives to ask about.

    `sort` is what its entries are called. `no_such` are questions about names that there are not, and `near`
    others about its subject that no page answers.
    """

    sort: str
    entries: Sequence[Entry]
    no_such: Sequence[str]
    near: Sequence[str]
    values: Sequence[Asked] = ()


def asked(source: Source, each: int, random: Random) -> list[Asked]:
    """Return at most so many questions of each kind, in the same order for the same draw."""
    tasks = _drawn(_tasks(source.entries), each, random)
    return [
        *(_of_task(number, entry, source.sort) for number, entry in enumerate(tasks)),
        *_drawn(list(_purposes(source.entries)), each, random),
        *_drawn(source.values, min(each, MOST_VALUES), random),
        *(Asked("elsewhere", text) for text in ELSEWHERE[:each]),
        *(Asked("near", text) for text in source.near[:each]),
        *(Asked("near", text) for text in _drawn(source.no_such, each - len(source.near), random)),
    ]


def task_of(sentence: str) -> str:
    """Return what a sentence such as "Returns a copy." says as a task: "return a copy".

    Empty where it does not begin with a usual verb, or goes on with another in the third person.
    """
    first, _, rest = sentence.rstrip(".").partition(" ")
    verb = _verb(first)
    inflected = verb != first.casefold()
    if inflected and any(_verb(word) not in ("", word) for word in _SECOND_VERB.findall(rest)):
        return ""
    return f"{verb} {rest}" if verb else ""


def first_sentence(text: str) -> str:
    """Return the sentence that a text begins with, if it is of a usual length and can stand by itself."""
    found = _SENTENCE.match(" ".join(text.split()))
    sentence = found.group(1) if found else ""
    alone = not _LEANING.search(sentence) and sentence.count("(") == sentence.count(")")
    return sentence if alone and _SHORTEST <= len(sentence) <= _LONGEST else ""


def telling_words(question: str, fact: str) -> frozenset[str]:
    """Return a fact's meaningful words without the question's, names as `slot_name`, and "return true"."""
    known = content_words(f"{question} {question.replace('_', ' ')} return true false")
    return frozenset(word for word in content_words(fact) - known if "_" not in word)


def _tells(text: str, telling: frozenset[str]) -> bool:
    held = len(telling & content_words(text))
    return held >= _PROVEN and 2 * held >= len(telling)


def _holds(text: str, fact: str, *, exactly: bool) -> bool:
    words = r"\s*".join(map(re.escape, fact.split()))
    whole = rf"(?<![\w-])(?<!\d\.){words}(?!\w)(?!\.\d)"
    return re.search(whole, text, 0 if exactly else re.IGNORECASE) is not None


def _clear(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries that do what no other does, and whose names are no words of what others do."""
    doing = Counter(content_words(entry.task) for entry in entries)
    words = {word for entry in entries for word in re.findall(r"\w+", entry.task)}
    return [
        entry
        for entry in entries
        if entry.judged
        and entry.task
        and doing[content_words(entry.task)] == 1
        and entry.last_name not in words
    ]


def _tasks(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries whose task asks for one name, without telling it."""
    parts = {part for entry in entries for part in _parts(entry.name)}
    return [
        entry
        for entry in _clear(entries)
        if entry.last_name not in parts and entry.last_name.casefold() not in entry.task.casefold()
    ]


def _parts(name: str) -> Iterator[str]:
    """Yield what can be taken for a name of several words: some that follow one another, but not all."""
    words = name.split()
    spans = ((start, end) for start in range(len(words)) for end in range(start + 1, len(words) + 1))
    yield from (" ".join(words[start:end]) for start, end in spans if end - start < len(words))


def _of_task(number: int, entry: Entry, sort: str) -> Asked:
    text = FORMS[number % len(FORMS)].format(task=entry.task, sort=sort)
    return Asked("task", text, entry.page, (entry.last_name,))


def _purposes(entries: Sequence[Entry]) -> Iterator[Asked]:
    """Yield a question for each name of which something is said that its words do not say already."""
    named = Counter(entry.name for entry in entries)
    for entry in _clear(entries):
        text = f"What does {entry.name} do?"
        task, more = (len(telling_words(text, fact)) for fact in (entry.task, entry.more))
        if named[entry.name] == 1 and task >= _PROVEN and max(task, more) >= _TELLING:
            facts = (entry.task, entry.more) if more >= _PROVEN else (entry.task,)
            yield Asked("purpose", text, entry.page, facts)


def _drawn(known: Sequence[T], most: int, random: Random) -> list[T]:
    return random.sample(known, max(0, min(most, len(known))))


def _verb(word: str) -> str:
    """Return a usual verb without its ending, "return" for "Returns"; empty for any other word."""
    folded = word.casefold()
    bases = (folded, folded.removesuffix("s"), folded.removesuffix("es"))
    return next((base for base in bases if base in _VERBS), "")


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
