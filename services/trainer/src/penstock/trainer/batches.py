"""Examples become batches of one length each, in an order that the seed alone decides."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from penstock.trainer.model.tokens import Tokens
from penstock.trainer.prompt import END, FORMS, Shown, render

LENGTHS = (192, 256, 320, 384, 448, 512, 640)
"""Tokens of a batch's rows: each is compiled once. Longer examples are left out."""
ANSWER = 72
"""Most tokens of an answer, its end included."""


@dataclass(frozen=True, slots=True)
class Row:
    """An example in tokens: the prompt's, then the answer's, which ends the turn."""

    kind: str
    prompt: tuple[int, ...]
    answer: tuple[int, ...]

    @property
    def length(self) -> int:
        """Return the shortest of LENGTHS that holds it; 0 if none does, or the answer is too long."""
        size = len(self.prompt) + len(self.answer)
        return next((length for length in LENGTHS if size <= length and len(self.answer) <= ANSWER), 0)


class Batch(NamedTuple):
    """Rows of one length.

    `tokens` is (rows, length), texts at the left, zeros behind. The others are (rows, ANSWER): where the
    state is that says an answer's token, which token that is, and 1 where there is one, else 0.
    """

    tokens: NDArray[np.int32]
    places: NDArray[np.int32]
    targets: NDArray[np.int32]
    counts: NDArray[np.float32]


def read(path: Path, split: str) -> list[dict[str, Any]]:
    """Return the examples of a split from a file of JSON lines."""
    with path.open(encoding="utf-8") as lines:
        return [example for line in lines if (example := json.loads(line))["split"] == split]


def rows(examples: Sequence[dict[str, Any]], tokens: Tokens) -> list[Row]:
    """Return the examples in tokens, in order; those that are too long are left out."""
    prompts = tokens.encode_all(
        [
            render(FORMS[one["form"]], [Shown(**p) for p in one["passages"]], one["question"])
            for one in examples
        ]
    )
    answers = tokens.encode_all([one["answer"] + END for one in examples])
    made = [
        Row(one["kind"], tuple(prompt), tuple(answer))
        for one, prompt, answer in zip(examples, prompts, answers, strict=True)
    ]
    return [row for row in made if row.length]


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
    made = Batch(
        np.zeros((len(chosen), length), np.int32),
        np.zeros((len(chosen), ANSWER), np.int32),
        np.zeros((len(chosen), ANSWER), np.int32),
        np.zeros((len(chosen), ANSWER), np.float32),
    )
    for at, row in enumerate(chosen):
        text, size = row.prompt + row.answer, len(row.answer)
        made.tokens[at, : len(text)] = text
        made.places[at, :size] = np.arange(len(row.prompt) - 1, len(text) - 1)
        made.targets[at, :size] = row.answer
        made.counts[at, :size] = 1
    return made


def of_one_length(found: Iterable[Row], budget: int) -> Iterator[list[Row]]:
    """Yield all rows once, in batches as for training, the last ones smaller."""
    by_length: dict[int, list[Row]] = {}
    for row in found:
        by_length.setdefault(row.length, []).append(row)
    for length, same in sorted(by_length.items()):
        size = max(1, budget // length)
        for at in range(0, len(same), size):
            yield same[at : at + size]
