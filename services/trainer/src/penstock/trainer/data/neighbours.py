"""Finds passages that are near a question and do not answer it: the distractors."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from math import log
from random import Random

from penstock.trainer.data.facts import Fact
from penstock.trainer.data.pages import Block
from penstock.trainer.data.passages import Passage
from penstock.trainer.data.sentences import content, overlap

_RAREST = 8
_COMMON = 600
"""A word in more passages of a corpus than this says nothing about which is near."""
_SAME = 0.6
"""So large a share of an answer's words in a passage, and the passage may answer as well."""


class Neighbours:
    """The passages of one split, to be asked for such as are near: by words, by place, or by chance."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._passages = passages
        self._words = [frozenset(content(f"{one.title} {one.heading} {one.text}")) for one in passages]
        self._having: dict[tuple[str, str], list[int]] = defaultdict(list)
        self._corpora: dict[str, list[int]] = defaultdict(list)
        self._ending: dict[str, list[int]] = defaultdict(list)
        for at, (one, words) in enumerate(zip(passages, self._words, strict=True)):
            self._corpora[one.corpus].append(at)
            for word in sorted(words):
                self._having[one.corpus, word].append(at)
            for last in sorted({last_of(block.name) for block in one.blocks if block.name}):
                self._ending[last].append(at)

    def passage(self, at: int) -> Passage:
        """Return a passage by its number."""
        return self._passages[at]

    def by_words(self, corpus: str, question: str, most: int) -> list[int]:
        """Return passages of a corpus that share rare words with a question, best first."""
        words = sorted({*content(question), *content(question.replace(".", " "))})
        lists = [self._having.get((corpus, word), []) for word in words]
        scores: Counter[int] = Counter()
        for having in sorted((one for one in lists if 0 < len(one) <= _COMMON), key=len)[:_RAREST]:
            for at in having:
                scores[at] += round(1000 * log(1 + len(self._passages) / len(having)))
        return [at for at, _ in sorted(scores.items(), key=lambda one: (-one[1], one[0]))[:most]]

    def by_place(self, at: int, reach: int = 4) -> list[int]:
        """Return the passages of the same page around one, nearest first."""
        page = self._passages[at].page, self._passages[at].corpus
        around = [at + step for distance in range(1, reach + 1) for step in (-distance, distance)]
        inside = [one for one in around if 0 <= one < len(self._passages)]
        return [one for one in inside if (self._passages[one].page, self._passages[one].corpus) == page]

    def by_chance(self, random: Random, corpus: str | None = None) -> int:
        """Return any passage, or any of a corpus."""
        return random.choice(self._corpora[corpus]) if corpus else random.randrange(len(self._passages))

    def of_others(self, fact: Fact) -> list[int]:
        """Return the passages that explain something whose name ends as this one's, and is another's."""
        having = self._ending.get(last_of(fact.name), []) if "." in fact.name else []
        return [at for at in having if not self.may_answer(fact, at)]

    def may_answer(self, fact: Fact, at: int) -> bool:
        """Return whether a passage may hold a fact: its answer's words, or an entry of its name."""
        if overlap(frozenset(content(fact.evidence)), self._words[at]) >= _SAME:
            return True
        return bool(fact.name) and any(_explains(block, fact.name) for block in self._passages[at].blocks)

    def holds_none(self, fact: Fact, chosen: Iterable[int]) -> bool:
        """Return whether none of these answers: nor has the name, nor most words of the question."""
        asked = frozenset(content(fact.slot))
        for at in chosen:
            if self.may_answer(fact, at) or (fact.name and names(self._passages[at], last_of(fact.name))):
                return False
            if overlap(asked, self._words[at]) >= 0.8:
                return False
        return True


def last_of(name: str) -> str:
    """Return the last part of a name: `close` of `mailbox.Mailbox.close()`."""
    return name.removesuffix("()").rpartition(".")[2]


def names(passage: Passage, name: str) -> bool:
    """Return whether a name stands anywhere in a passage or above it, as a word of its own."""
    text = f"{passage.title}\n{passage.heading}\n{passage.text}"
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE) is not None


def _explains(block: Block, name: str) -> bool:
    """Return whether a block begins to explain a thing of this name, or of one that ends so."""
    if block.kind not in ("term", "heading"):
        return False
    bare, own = name.removesuffix("()").lower(), block.name.lower()
    return f".{own}".endswith(f".{bare}") if own else bare in block.text.lower()
