"""Examples: a question, one to four passages, and the answer with its number, or the sentence of refusal."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Any, Literal

from penstock.trainer.data.elsewhere import elsewhere
from penstock.trainer.data.facts import Fact, Family
from penstock.trainer.data.missing import invented, value_not_given
from penstock.trainer.data.neighbours import Neighbours
from penstock.trainer.data.passages import Passage
from penstock.trainer.data.phrasings import ask
from penstock.trainer.data.sentences import content
from penstock.trainer.prompt import FORMS, REFUSAL, Shown

Split = Literal["train", "validation", "unseen"]
Unanswerable = Literal["sibling", "invented", "no-value", "other-manual", "elsewhere"]

# fmt: off
FAMILIES: dict[Family, float] = {
    "which": 0.20, "howto": 0.16, "purpose": 0.20, "define": 0.10, "value": 0.10,
    "yesno": 0.07, "condition": 0.07, "why": 0.01, "about": 0.06, "faq": 0.03,
}
UNANSWERABLE: dict[Unanswerable, float] = {
    "sibling": 0.30, "invented": 0.22, "no-value": 0.22, "other-manual": 0.13, "elsewhere": 0.13,
}
# fmt: on
SHARE_UNANSWERABLE = 0.25
COUNTS = {1: 0.15, 2: 0.25, 3: 0.35, 4: 0.25}
"""How often a prompt has so many passages."""
_FIRST = 0.25
"""How often the right passage is the best ranked; else it has any rank."""
_LARGEST = 0.22
"""The largest share of a family's examples that one corpus may have."""
_OTHER_FORM = 0.12
_TRIES = 40


@dataclass(frozen=True, slots=True)
class Example:
    """One example. Passages are in the order of their rank, best first; `right` counts from 1, 0 for none."""

    split: Split
    kind: str
    corpus: str
    page: str
    form: str
    question: str
    passages: tuple[Shown, ...]
    right: int
    answer: str

    def as_json(self) -> dict[str, Any]:
        """Return the example as plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Told:
    """A fact and the number of its passage."""

    fact: Fact
    at: int


class Maker:
    """Makes the examples of one split from its passages and facts; the same random numbers, the same
    examples.
    """

    def __init__(
        self,
        split: Split,
        passages: Sequence[Passage],
        told: Sequence[Told],
        products: Mapping[str, str],
        random: Random,
    ) -> None:
        self._split = split
        self._near = Neighbours(passages)
        self._products = products
        self._random = random
        self._told = list(told)
        self._names = {
            corpus: sorted({one.fact.name for one in told if one.fact.name and self._corpus(one) == corpus})
            for corpus in sorted({self._corpus(one) for one in told})
        }
        self._seen: set[str] = set()

    def make(self, count: int) -> list[Example]:
        """Return so many examples, fewer where the facts do not give them, in mixed order."""
        wanted = round(count * SHARE_UNANSWERABLE)
        made = list(self._answerable(count - wanted))
        wanted = min(wanted, round(len(made) * SHARE_UNANSWERABLE / (1 - SHARE_UNANSWERABLE)))
        for kind, share in UNANSWERABLE.items():
            made += self._unanswerable(kind, round(wanted * share))
        self._random.shuffle(made)
        return made

    def _answerable(self, count: int) -> Iterator[Example]:
        """Each family its share; within a family, corpora in turn until one has its largest share."""
        for family, share in FAMILIES.items():
            wanted = round(count * share)
            having = Counter[str]()
            for one in self._in_turn(family):
                if having.total() >= wanted:
                    break
                corpus = self._corpus(one)
                if having[corpus] >= max(1, wanted * _LARGEST) and len(self._names) > 4:
                    continue
                if example := self._answered(one):
                    having[corpus] += 1
                    yield example

    def _in_turn(self, family: Family) -> Iterator[Told]:
        by_corpus: dict[str, list[Told]] = defaultdict(list)
        for one in self._told:
            if one.fact.family == family:
                by_corpus[self._corpus(one)].append(one)
        for facts in by_corpus.values():
            self._random.shuffle(facts)
        while by_corpus:
            for corpus in sorted(by_corpus):
                yield by_corpus[corpus].pop()
                if not by_corpus[corpus]:
                    del by_corpus[corpus]

    def _answered(self, one: Told) -> Example | None:
        question = ask(one.fact, self._products[self._corpus(one)], self._random)
        if not self._new(question, one.fact.answer):
            return None
        others = self._distractors(one, question, self._count() - 1)
        rank = 0 if self._random.random() < _FIRST else self._random.randint(0, len(others))
        chosen = [*others[:rank], one.at, *others[rank:]]
        answer = f"{one.fact.answer} [{rank + 1}]"
        return self._example(one.fact.family, one.at, question, chosen, rank + 1, answer)

    def _unanswerable(self, kind: Unanswerable, count: int) -> Iterator[Example]:
        made = 0
        for _ in range(count * _TRIES):
            if made >= count:
                return
            one = self._random.choice(self._told)
            if example := self._refused(kind, one):
                made += 1
                yield example

    def _refused(self, kind: Unanswerable, one: Told) -> Example | None:
        fact, corpus = one.fact, self._corpus(one)
        question: str | None = ask(fact, self._products[corpus], self._random)
        others = self._distractors(one, question or "", self._count())
        if kind == "sibling":
            question = question if self._near.holds_none(fact, others) else None
        elif kind == "other-manual":
            others = [self._near.by_chance(self._random) for _ in others]
            others = [at for at in others if self._near.passage(at).corpus != corpus]
            question = question if self._near.holds_none(fact, others) else None
        elif kind == "elsewhere":
            question = elsewhere(self._random)
        elif kind == "invented":
            question, others = self._of_invented(one, others)
        else:
            others = self._with_own(one, others)
            named = fact.family == "purpose" and fact.name
            question = value_not_given(fact, self._texts(others), self._random) if named else None
        if question is None or not others or not self._new(question, ""):
            return None
        return self._example(kind, one.at, question, others, 0, REFUSAL)

    def _of_invented(self, one: Told, others: list[int]) -> tuple[str | None, list[int]]:
        """A question about a name that no passage holds, beside the passage of the name it was made from."""
        fact = one.fact
        if fact.family not in ("purpose", "value") or not fact.name:
            return None, others
        name = invented(fact.name, self._names[self._corpus(one)], self._random)
        others = self._with_own(one, others)
        if name is None or any(name.lower() in text.lower() for text in self._texts(others)):
            return None, others
        slot = fact.slot.replace(fact.name, name)
        asked = Fact(fact.family, slot, "", "", name, fact.noun)
        return ask(asked, self._products[self._corpus(one)], self._random), others

    def _with_own(self, one: Told, others: Sequence[int]) -> list[int]:
        chosen = [one.at, *others[:-1]]
        self._random.shuffle(chosen)
        return chosen

    def _distractors(self, one: Told, question: str, count: int) -> list[int]:
        """Passages that do not answer: mostly near by words or by place, now and then any."""
        corpus = self._corpus(one)
        words, place = self._near.by_words(corpus, question, 12), self._near.by_place(one.at)
        chosen: list[int] = []
        for _ in range(4 * count):
            draw = self._random.random()
            if draw < 0.5 and words:
                at = words.pop(0)
            elif draw < 0.75 and place:
                at = place.pop(0)
            else:
                at = self._near.by_chance(self._random, corpus if draw < 0.9 else None)
            if (
                len(chosen) < count
                and at != one.at
                and at not in chosen
                and not self._near.may_answer(one.fact, at)
            ):
                chosen.append(at)
        self._random.shuffle(chosen)
        return chosen

    def _count(self) -> int:
        return self._random.choices(list(COUNTS), list(COUNTS.values()))[0]

    def _new(self, question: str, answer: str) -> bool:
        """Whether neither the question nor, three times, nearly the same answer was there before."""
        asked = signature(question)
        keys = [asked] if not answer else [asked, *(f"{signature(answer)} {again}" for again in range(2))]
        if asked in self._seen or (answer and all(key in self._seen for key in keys[1:])):
            return False
        self._seen.add(asked)
        if answer:
            self._seen.add(next(key for key in keys[1:] if key not in self._seen))
        return True

    def _corpus(self, one: Told) -> str:
        return self._near.passage(one.at).corpus

    def _texts(self, chosen: Sequence[int]) -> list[str]:
        return [f"{self._near.passage(at).title}\n{self._near.passage(at).text}" for at in chosen]

    def _example(
        self, kind: str, at: int, question: str, chosen: Sequence[int], right: int, answer: str
    ) -> Example:
        own = self._near.passage(at)
        shown = tuple(
            Shown(label_of(self._near.passage(one)), self._near.passage(one).text) for one in chosen
        )
        form = self._random.choices(list(FORMS), [1 - _OTHER_FORM, _OTHER_FORM])[0]
        return Example(self._split, kind, own.corpus, own.page, form, question, shown, right, answer)


def label_of(passage: Passage) -> str:
    """Return what stands above a passage: title and innermost heading, short, as in the service's prompts."""
    title = " ".join(passage.title.split())[:36].strip()
    heading = " ".join(passage.heading.split())[:18].strip()
    return f"{title} > {heading}" if heading and heading != title else title


def signature(text: str) -> str:
    """Return what near duplicates have in common: the set of their words that say something, numbers gone."""
    words = sorted({word for word in content(text) if not word.isdigit()})
    return hashlib.sha256(" ".join(words).encode()).hexdigest()[:16]
