"""How well a model answers: loss on answers' tokens, and whether greedy decoding would give them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from penstock.trainer.batches import Asked, Batch, Row, batch, of_one_length
from penstock.trainer.data.examples import UNANSWERABLE
from penstock.trainer.model.base import Shape
from penstock.trainer.model.llama import Frozen, Text, hidden_states, logits
from penstock.trainer.model.lora import Adapter

Scored: TypeAlias = tuple[jax.Array, jax.Array]
"""Of a batch, (rows, ANSWERS): the loss of each token of the answers, and whether it is the most likely one.
"""


def scores(
    adapter: Adapter, frozen: Frozen, given: Batch, shape: Shape, scale: float, remember: bool = True
) -> Scored:
    """Return loss (in nats) and hit of each token of the answers; both are 0 where there is none."""
    text = Text(*(jnp.asarray(part) for part in (given.tokens, given.positions, given.branches)))
    states = hidden_states(frozen, adapter, scale, text, shape, remember)
    states = jnp.take_along_axis(states, jnp.asarray(given.places)[..., None], axis=1)
    told = logits(frozen, states)
    targets = jnp.asarray(given.targets)
    right = jnp.take_along_axis(told, targets[..., None], axis=-1)[..., 0]
    losses = (jax.nn.logsumexp(told, axis=-1) - right) * given.counts
    return losses, (told.argmax(axis=-1) == targets) * given.counts


def judge(score: Callable[[Batch], Scored], found: Iterable[Row], budget: int) -> dict[str, float]:
    """Return figures over rows: loss, and shares of what greedy decoding would write exactly as it stands
    there.

    An answer is written exactly if each of its tokens is the most likely one after those before it. `cited`:
    the passage's number is right, given the sentence; `ended`: the turn ends there; `exact` and `refused`:
    the whole answer, of answerable and of unanswerable questions.
    """
    sums: dict[str, float] = defaultdict(float)
    for chosen in of_one_length(found, budget):
        losses, hits = (np.asarray(one) for one in score(batch(chosen)))
        for row, loss, hit in zip(chosen, losses, hits, strict=True):
            begin = 0
            for one in row.asked:
                end = begin + len(one.answer)
                _count(sums, one, loss[begin:end], hit[begin:end])
                begin = end
    answerable, unanswerable = max(1, sums["answerable"]), max(1, sums["unanswerable"])
    return {
        "questions": sums["answerable"] + sums["unanswerable"],
        "loss": sums["loss"] / max(1, sums["tokens"]),
        "ended": sums["ended"] / max(1, sums["answerable"] + sums["unanswerable"]),
        "exact": sums["exact"] / answerable,
        "cited": sums["cited"] / answerable,
        "refused": sums["refused"] / unanswerable,
    }


def _count(sums: dict[str, float], one: Asked, loss: NDArray[np.float32], hit: NDArray[np.float32]) -> None:
    whole = bool(hit.all())
    sums["loss"] += float(loss.sum())
    sums["tokens"] += len(hit)
    sums["ended"] += bool(hit[-1])
    if one.kind in UNANSWERABLE:
        sums["unanswerable"] += 1
        sums["refused"] += whole
    else:
        sums["answerable"] += 1
        sums["exact"] += whole
        sums["cited"] += bool(hit[-3])  # number, bracket, end
