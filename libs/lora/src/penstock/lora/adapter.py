"""The adapter's file: safetensors in 16 bits, and what it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from penstock.lora.errors import AdapterError

_FORMAT = "penstock-lora-1"


@dataclass(frozen=True, slots=True)
class AdapterMetadata:
    """What an adapter fits and came from; hashes are SHA-256."""

    base: str
    rank: int
    alpha: float
    matrices: tuple[str, ...]
    first_layer: int
    seed: int
    steps: int
    data: str
    prompt_form: str

    @property
    def scale(self) -> float:
        """Return by what the product of its matrices is multiplied."""
        return self.alpha / self.rank


def save(path: Path, arrays: dict[str, NDArray[np.float16]], about: AdapterMetadata) -> None:
    """Write an adapter; the same arrays and facts give the same bytes."""
    texts = {
        "format": _FORMAT,
        "base": about.base,
        "rank": str(about.rank),
        "alpha": repr(about.alpha),
        "matrices": ",".join(about.matrices),
        "first_layer": str(about.first_layer),
        "seed": str(about.seed),
        "steps": str(about.steps),
        "data": about.data,
        "prompt_form": about.prompt_form,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_bytes(arrays, metadata=texts))  # save_file's are readable by their owner alone


def load(path: Path) -> tuple[dict[str, NDArray[np.float16]], AdapterMetadata]:
    """Return an adapter's arrays by name, and what it says of itself.

    `NAME.lora_a` is (rank, in), `NAME.lora_b` is (out, rank). Raises AdapterError for any other
    file, OSError for one that cannot be read.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            texts = file.metadata() or {}
            if texts.get("format") != _FORMAT:
                raise AdapterError(f"{path} is no adapter that Penstock's trainer made")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
        return arrays, _about(texts)
    except (SafetensorError, KeyError, ValueError) as error:
        raise AdapterError(f"{path} is no adapter, or damaged: {error}") from error


def _about(texts: dict[str, str]) -> AdapterMetadata:
    return AdapterMetadata(
        base=texts["base"],
        rank=int(texts["rank"]),
        alpha=float(texts["alpha"]),
        matrices=tuple(texts["matrices"].split(",")),
        first_layer=int(texts["first_layer"]),
        seed=int(texts["seed"]),
        steps=int(texts["steps"]),
        data=texts["data"],
        prompt_form=texts["prompt_form"],
    )
