"""Where a run stands, on disk: what is learned, the optimiser's memory, and the steps done."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

State = TypeVar("State")


def save(path: Path, state: Any, step: int) -> None:
    """Write a tree of arrays; a kill leaves the file before it or this one, whole."""
    leaves = {f"{at:04d}": np.asarray(leaf) for at, leaf in enumerate(jax.tree.leaves(state))}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file(leaves, partial, metadata={"step": str(step)})
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def load(path: Path, like: State) -> tuple[State, int]:
    """Return the tree and its step; `like` is a tree of the same form."""
    with safe_open(path, framework="numpy") as file:
        leaves = [jnp.asarray(file.get_tensor(name)) for name in sorted(file.keys())]
        step = int((file.metadata() or {})["step"])
    return jax.tree.unflatten(jax.tree.structure(like), leaves), step
