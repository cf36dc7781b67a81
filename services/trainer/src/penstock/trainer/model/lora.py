"""LoRA (arXiv:2106.09685): what is learned is a small product beside each matrix, which begins as nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from penstock.trainer.model.base import MATRICES, Shape

Adapter: TypeAlias = dict[str, dict[str, jax.Array]]
"""By matrix: `a` is (layers, in, rank), `b` is (layers, rank, out)."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which matrices learn, with which rank, in the layers from `first` on; the product counts alpha / rank
    times.
    """

    rank: int = 8
    alpha: float = 16.0
    matrices: tuple[str, ...] = MATRICES
    first: int = 0

    @property
    def scale(self) -> float:
        """Return by what the product is multiplied."""
        return self.alpha / self.rank

    def values(self, shape: Shape) -> int:
        """Return how many values are learned; in 16 bits they take twice as many bytes."""
        sizes = sum(sum(shape.matrix(name)) for name in self.matrices)
        return sizes * self.rank * (shape.layers - self.first)


def start(choice: Choice, shape: Shape, seed: int) -> Adapter:
    """Return an adapter that changes nothing yet: `b` is zero, `a` is normal with variance 1 / in."""
    layers, adapter = shape.layers - choice.first, {}
    keys = jax.random.split(jax.random.key(seed), len(choice.matrices))
    for name, key in zip(choice.matrices, keys, strict=True):
        wide, out = shape.matrix(name)
        adapter[name] = {
            "a": jax.random.normal(key, (layers, wide, choice.rank)) / np.sqrt(wide),
            "b": jnp.zeros((layers, choice.rank, out)),
        }
    return adapter


def to_arrays(adapter: Adapter, choice: Choice) -> dict[str, NDArray[np.float16]]:
    """Return it as it is stored: `blk.N.NAME.weight.lora_a` is (rank, in), `….lora_b` is (out, rank)."""
    arrays = {}
    for name in choice.matrices:
        for part in ("a", "b"):
            stacked = np.asarray(adapter[name][part], np.float16)
            for layer, matrix in enumerate(stacked, choice.first):
                arrays[f"blk.{layer}.{name}.weight.lora_{part}"] = np.ascontiguousarray(matrix.T)
    return arrays


def from_arrays(arrays: dict[str, NDArray[np.float16]], choice: Choice, shape: Shape) -> Adapter:
    """Return a stored adapter as it is computed with."""

    def stacked(name: str, part: str) -> jax.Array:
        keys: Sequence[str] = [
            f"blk.{layer}.{name}.weight.lora_{part}" for layer in range(choice.first, shape.layers)
        ]
        return jnp.asarray(np.stack([arrays[key].astype(np.float32).T for key in keys]))

    return {name: {part: stacked(name, part) for part in ("a", "b")} for name in choice.matrices}
