"""Examples become batches of one length each, in an order that the seed alone decides."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, takewhile
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from penstock.trainer.model.tokens import Tokens
from penstock.trainer.prompt import END, FORMS, Shown, render

LENGTHS = (192, 256, 320, 384, 448, 512, 576, 640, 768, 896)
"""Tokens of a batch's rows: each is compiled once. Questions for which the longest has no room are left
out.
"""
ANSWER = 72
"""Most tokens of an answer, its end included."""
ANSWERS = 224
"""Most tokens of a row's answers together."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An example in tokens, less what its row shares; the answer ends the turn."""

    kind: str
    question: tuple[int, ...]
    answer: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A reading in tokens: the prompt up to the passages' end, once, and what is asked of them."""

    shared: tuple[int, ...]
    asked: tuple[Asked, ...]

    @property
    def tokens(self) -> tuple[int, ...]:
        """Return all of it, one after the other."""
        return (*self.shared, *(token for one in self.asked for token in (*one.question, *one.answer)))

    @property
    def length(self) -> int:
        """Return the shortest of LENGTHS that holds it; 0 if none does, or the answers are too long."""
        size = len(self.tokens)
        answers = [len(one.answer) for one in self.asked]
        fits = bool(answers) and max(answers) <= ANSWER and sum(answers) <= ANSWERS
        return next((length for length in LENGTHS if size <= length and fits), 0)


class Batch(NamedTuple):
    """Rows of one length.

    `tokens`, `positions` and `branches` are (rows, length): what the rows share, then each question with its
    answer as a branch (penstock.trainer.model.llama.Text), zeros behind. The others are (rows, ANSWERS):
    where the state is that says an answer's token, which token that is, and 1 where there is one, else 0.
    """

    tokens: NDArray[np.int32]
    positions: NDArray[np.int32]
    branches: NDArray[np.int32]
    places: NDArray[np.int32]
    targets: NDArray[np.int32]
    counts: NDArray[np.float32]


def read(path: Path, split: str) -> list[dict[str, Any]]:
    """Return the examples of a split from a file of JSON lines."""
    with path.open(encoding="utf-8") as lines:
        return [example for line in lines if (example := json.loads(line))["split"] == split]


def rows(examples: Sequence[dict[str, Any]], tokens: Tokens) -> list[Row]:
    """Return the examples in tokens, in order, those of one reading as one row, less what does not fit."""
    prompts = tokens.encode_all(
        [
            render(FORMS[one["form"]], [Shown(**p) for p in one["passages"]], one["question"])
            for one in examples
        ]
    )
    answers = tokens.encode_all([one["answer"] + END for one in examples])
    encoded = zip(examples, prompts, answers, strict=True)
    return [
        row
        for _, same in groupby(encoded, key=lambda one: (one[0]["split"], one[0]["reading"]))
        if (row := _row([(example["kind"], prompt, answer) for example, prompt, answer in same])) is not None
    ]


def _row(questions: Sequence[tuple[str, list[int], list[int]]]) -> Row | None:
    """Return one reading's questions that fit; None if none does."""
    prompts = [prompt for _, prompt, _ in questions]
    columns = zip(*prompts, strict=False) if len(prompts) > 1 else ()
    shared = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
    row = Row(tuple(prompts[0][:shared]), ())
    for kind, prompt, answer in questions:
        longer = replace(row, asked=(*row.asked, Asked(kind, tuple(prompt[shared:]), tuple(answer))))
        row = longer if longer.length else row
    return row if row.asked else None


def in_order(found: Sequence[Row], budget: int, seed: int) -> Iterator[list[Row]]:
    """Yield rows for one batch after the other, without end: of one length, about `budget` tokens together.

    The examples are shuffled again in each epoch; those that do not fill a batch are carried into the next.
    """
    waiting: dict[int, list[Row]] = {length: [] for length in LENGTHS}
    order = list(range(len(found)))
    random = Random(seed)
    while True:
        random.shuffle(order)
        for at in order:
            row = found[at]
            queue = waiting[row.length]
            queue.append(row)
            if len(queue) >= max(1, budget // row.length):
                waiting[row.length] = []
                yield queue


def batch(chosen: Sequence[Row], length: int | None = None) -> Batch:
    """Return rows as arrays, `length` tokens long (that of the longest if None)."""
    length = length or max(row.length for row in chosen)
    whole, answers = (len(chosen), length), (len(chosen), ANSWERS)
    made = Batch(
        np.zeros(whole, np.int32),
        np.zeros(whole, np.int32),
        np.zeros(whole, np.int32),
        np.zeros(answers, np.int32),
        np.zeros(answers, np.int32),
        np.zeros(answers, np.float32),
    )
    for at, row in enumerate(chosen):
        _fill(Batch(*(part[at] for part in made)), row)
    return made


def _fill(given: Batch, row: Row) -> None:
    """Write one row into its arrays."""
    shared = end = len(row.shared)
    given.tokens[:end], given.positions[:end] = row.shared, np.arange(end)
    answered = 0
    for number, one in enumerate(row.asked, 1):
        begin, text, size = end, one.question + one.answer, len(one.answer)
        end = begin + len(text)
        given.tokens[begin:end] = text
        given.positions[begin:end] = np.arange(shared, shared + len(text))
        given.branches[begin:end] = number
        here = slice(answered, answered + size)
        given.places[here] = np.arange(end - size - 1, end - 1)
        given.targets[here] = one.answer
        given.counts[here] = 1
        answered += size


def of_one_length(found: Iterable[Row], budget: int) -> Iterator[list[Row]]:
    """Yield all rows once, in batches as for training, the last ones smaller."""
    by_length: dict[int, list[Row]] = {}
    for row in found:
        by_length.setdefault(row.length, []).append(row)
    for length, same in sorted(by_length.items()):
        size = max(1, budget // length)
        for at in range(0, len(same), size):
            yield same[at : at + size]
