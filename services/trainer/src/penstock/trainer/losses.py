"""Loss before and after merging: rounding must not take away what was learned."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import jax

from penstock.lora.adapter import load as load_adapter
from penstock.lora.model_file import ModelFile
from penstock.trainer.batches import Row, read, rows
from penstock.trainer.model import llama, lora
from penstock.trainer.model.base import shape_of
from penstock.trainer.model.tokens import Tokens
from penstock.trainer.score import judge, scores

_BUDGET = 1024


def losses(base: Path, adapter: Path, merged: Path, examples: Path, count: int) -> dict[str, float]:
    """Return the mean loss (nats a token of the answers) of base, base with adapter, and merged file.

    `change` is the merged file's loss beside the adapter's, as a share of that; over `count` examples of
    validation and as many unseen.
    """
    arrays, about = load_adapter(adapter)
    file = ModelFile(base)
    tokens = Tokens(file)
    found = rows([*read(examples, "validation")[:count], *read(examples, "unseen")[:count]], tokens)
    choice = lora.Choice(about.rank, about.alpha, about.matrices, about.first_layer)
    learned = lora.from_arrays(arrays, choice, shape_of(file))
    frozen = llama.load(file)
    before = _loss(file, frozen, {}, 1.0, found)
    taught = _loss(file, frozen, learned, about.scale, found)
    after = _loss(file, llama.load(ModelFile(merged)), {}, 1.0, found)
    return {"base": before, "adapter": taught, "merged": after, "change": after / taught - 1}


def _loss(
    file: ModelFile, frozen: llama.Frozen, adapter: lora.Adapter, scale: float, found: list[Row]
) -> float:
    score = jax.jit(partial(scores, shape=shape_of(file), scale=scale))
    return judge(partial(score, adapter, frozen), found, _BUDGET)["loss"]
