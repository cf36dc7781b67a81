"""Makes readings: passages, and the questions that are asked of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from random import Random
from typing import TypeAlias

from penstock.trainer.data.elsewhere import elsewhere
from penstock.trainer.data.examples import UNANSWERABLE, Example, Split, Unanswerable, label_of, signature
from penstock.trainer.data.facts import Fact, Family
from penstock.trainer.data.missing import invented, value_not_given
from penstock.trainer.data.neighbours import Neighbours, last_of, names
from penstock.trainer.data.passages import Passage
from penstock.trainer.data.phrasings import ask
from penstock.trainer.prompt import FORMS, REFUSAL, Shown

# fmt: off
FAMILIES: dict[Family, float] = {
    "which": 0.20, "howto": 0.18, "purpose": 0.22, "define": 0.05, "value": 0.07, "yesno": 0.04,
    "condition": 0.04, "why": 0.01, "about": 0.02, "faq": 0.02, "plain": 0.10, "everyday": 0.05,
}
# fmt: on
SHARE_UNANSWERABLE = 0.25
COUNTS = {1: 0.15, 2: 0.25, 3: 0.35, 4: 0.25}
"""How often a prompt is to have so many passages; fewer where they are long."""
_ROOM = 1800
"""Characters of its passages: the 512 tokens that the service gives them."""
_ABOVE = 55
"""What stands around a passage takes as much of that as so many characters."""
_FIRST = 0.25
"""How often the right passage is the best ranked; else it has any rank."""
_LARGEST = 0.30
"""The largest share of a family's examples that one corpus may have."""
_FEW = 5
"""Where fewer corpora than this have facts of a family, each may have any share."""
_OTHER_FORM = 0.12
_OF_OWN: frozenset[Unanswerable] = frozenset(("invented", "no-value"))
"""What is asked beside the passage of the name that it is about."""
_TRIES = 40
MORE = 4
"""So many more questions are asked of the passages of an example, where they hold something to ask."""


@dataclass(frozen=True, slots=True)
class Told:
    """A fact and the number of its passage."""

    fact: Fact
    at: int


@dataclass(frozen=True, slots=True)
class Asking:
    """A question of chosen passages, and its answer; `right` is the number of its passage, 0 for none."""

    kind: str
    at: int
    question: str
    right: int
    answer: str


Reading: TypeAlias = tuple[list[int], list[Asking]]
"""The numbers of passages, best first, and what is asked of them."""


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
        self._of_passage: dict[int, list[Told]] = defaultdict(list)
        for one in told:
            self._of_passage[one.at].append(one)
        self._names = {
            corpus: sorted({one.fact.name for one in told if one.fact.name and self._corpus(one) == corpus})
            for corpus in sorted({self._corpus(one) for one in told})
        }
        self._seen: set[str] = set()

    def make(self, count: int) -> list[Example]:
        """Return the examples of so many readings, fewer where the facts do not give them, in mixed order.

        The first questions have the shares of FAMILIES and UNANSWERABLE; what else is asked of their passages
        is what these hold, and a quarter is unanswerable there, too.
        """
        wanted = round(count * SHARE_UNANSWERABLE)
        made = list(self._answerable(count - wanted))
        wanted = min(wanted, round(len(made) * SHARE_UNANSWERABLE / (1 - SHARE_UNANSWERABLE)))
        for kind, share in UNANSWERABLE.items():
            made += self._unanswerable(kind, round(wanted * share))
        self._random.shuffle(made)
        for chosen, asked in made:
            asked += self._more(chosen)
        return [
            example
            for number, (chosen, asked) in enumerate(made)
            for example in self._examples(number, chosen, asked)
        ]

    def _answerable(self, count: int) -> Iterator[Reading]:
        """Each family its share; within it, large corpora more often, until one has its largest share."""
        for family, share in FAMILIES.items():
            wanted = round(count * share)
            having = Counter[str]()
            facts = [one for one in self._told if one.fact.family == family]
            few = len({self._corpus(one) for one in facts}) < _FEW
            for one in self._mixed(facts):
                if having.total() >= wanted:
                    break
                corpus = self._corpus(one)
                if having[corpus] >= max(1, wanted * _LARGEST) and not few:
                    continue
                if reading := self._answered(one):
                    having[corpus] += 1
                    yield reading

    def _mixed(self, facts: Sequence[Told]) -> Iterator[Told]:
        """All facts in an order by chance: one of four times as many comes twice as often."""
        by_corpus: dict[str, list[Told]] = defaultdict(list)
        for one in facts:
            by_corpus[self._corpus(one)].append(one)
        for own in by_corpus.values():
            self._random.shuffle(own)
        weights = {corpus: sqrt(len(own)) for corpus, own in sorted(by_corpus.items())}
        while weights:
            [corpus] = self._random.choices(list(weights), list(weights.values()))
            yield by_corpus[corpus].pop()
            if not by_corpus[corpus]:
                del weights[corpus]

    def _answered(self, one: Told) -> Reading | None:
        question = self._question(one)
        if not self._new(question, one.fact.answer):
            return None
        others = self._distractors(one, question, self._count() - 1)
        others = self._fitting(others, _ROOM - self._size(one.at))
        rank = 0 if self._random.random() < _FIRST else self._random.randint(0, len(others))
        chosen = [*others[:rank], one.at, *others[rank:]]
        return chosen, [_asking(one, question, chosen)]

    def _more(self, chosen: Sequence[int]) -> Iterator[Asking]:
        """Yield more questions of the same passages: what else they hold, and what they do not."""
        held = [one for at in chosen for one in self._of_passage[at]]
        self._random.shuffle(held)
        for _ in range(MORE):
            if self._random.random() < SHARE_UNANSWERABLE:
                asking = self._refused_beside(chosen, held)
            else:
                asking = next(filter(None, (self._held(held.pop(), chosen) for _ in range(len(held)))), None)
            if asking is not None:
                yield asking

    def _held(self, one: Told, chosen: Sequence[int]) -> Asking | None:
        """A question that one of these passages answers, and no other of them."""
        if any(at != one.at and self._near.may_answer(one.fact, at) for at in chosen):
            return None
        question = self._question(one)
        return _asking(one, question, chosen) if self._new(question, one.fact.answer) else None

    def _refused_beside(self, chosen: Sequence[int], held: Sequence[Told]) -> Asking | None:
        [kind] = self._random.choices(list(UNANSWERABLE), list(UNANSWERABLE.values()))
        corpus = self._near.passage(chosen[0]).corpus
        for _ in range(_TRIES):
            one = self._random.choice(self._told)
            if kind in _OF_OWN:
                if not held:
                    return None
                one = self._random.choice(held)
            elif kind == "sibling" and self._corpus(one) != corpus:
                continue
            if asking := self._refused(kind, one, chosen):
                return asking
        return None

    def _unanswerable(self, kind: Unanswerable, count: int) -> Iterator[Reading]:
        made = 0
        for _ in range(count * _TRIES):
            if made >= count:
                return
            one = self._random.choice(self._told)
            chosen = self._distractors(one, self._question(one), self._count())
            if kind == "other-manual":
                chosen = [self._near.by_chance(self._random) for _ in chosen]
                chosen = [at for at in chosen if self._near.passage(at).corpus != self._corpus(one)]
            elif kind in _OF_OWN:
                chosen = self._with_own(one, chosen)
            chosen = self._fitting(chosen, _ROOM)
            if chosen and (asking := self._refused(kind, one, chosen)):
                made += 1
                yield chosen, [asking]

    def _refused(self, kind: Unanswerable, one: Told, chosen: Sequence[int]) -> Asking | None:
        """A question that these passages do not answer; None if none of this kind comes of this fact."""
        if kind == "elsewhere":
            question: str | None = elsewhere(self._random)
        elif kind == "invented":
            question = self._of_invented(one, chosen)
        elif kind == "no-value":
            named = one.fact.family == "purpose" and one.fact.name
            question = value_not_given(one.fact, self._texts(chosen), self._random) if named else None
        else:
            question = self._question(one) if self._near.holds_none(one.fact, chosen) else None
        if question is None or not self._new(question, ""):
            return None
        return Asking(kind, one.at, question, 0, REFUSAL)

    def _of_invented(self, one: Told, chosen: Sequence[int]) -> str | None:
        """A question about a name that none of these passages holds, made from a name of theirs."""
        fact = one.fact
        if fact.family not in ("purpose", "value") or not fact.name:
            return None
        name = invented(fact.name, self._names[self._corpus(one)], self._random)
        if name is None or any(names(self._near.passage(at), last_of(name)) for at in chosen):
            return None
        slot = fact.slot.replace(fact.name, name)
        asked = Fact(fact.family, slot, "", "", name, fact.noun)
        return ask(asked, self._products[self._corpus(one)], self._random)

    def _question(self, one: Told) -> str:
        return ask(one.fact, self._products[self._corpus(one)], self._random)

    def _with_own(self, one: Told, others: Sequence[int]) -> list[int]:
        chosen = [one.at, *others[:-1]]
        self._random.shuffle(chosen)
        return chosen

    def _size(self, at: int) -> int:
        return len(self._near.passage(at).text) + _ABOVE

    def _fitting(self, chosen: Sequence[int], room: int) -> list[int]:
        """Those for which there is room, as retrieval takes them: what is too long gives way to the next."""
        fitting = []
        for at in chosen:
            if self._size(at) <= room:
                fitting.append(at)
                room -= self._size(at)
        return fitting

    def _distractors(self, one: Told, question: str, count: int) -> list[int]:
        """Passages that do not answer: mostly near by words or by place, now and then any."""
        corpus = self._corpus(one)
        words, place = self._near.by_words(corpus, question, 12), self._near.by_place(one.at)
        alike = self._near.of_others(one.fact)
        chosen: list[int] = []
        for _ in range(4 * count):
            draw = self._random.random()
            if draw < 0.15 and alike:
                at = self._random.choice(alike)
            elif draw < 0.5 and words:
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
        """Whether the question is new with this answer, and nearly the same answer was there once at most."""
        asked = signature(question) + signature(answer)
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

    def _examples(self, number: int, chosen: Sequence[int], asked: Sequence[Asking]) -> Iterator[Example]:
        passages = [self._near.passage(at) for at in chosen]
        shown = tuple(Shown(label_of(passage), passage.text) for passage in passages)
        [form] = self._random.choices(list(FORMS), [1 - _OTHER_FORM, _OTHER_FORM])
        for one in asked:
            own = self._near.passage(one.at)
            yield Example(
                self._split,
                number,
                one.kind,
                own.corpus,
                own.page,
                form,
                one.question,
                shown,
                one.right,
                one.answer,
            )


def _asking(one: Told, question: str, chosen: Sequence[int]) -> Asking:
    right = chosen.index(one.at) + 1
    return Asking(one.fact.family, one.at, question, right, f"{one.fact.answer} [{right}]")
