"""The forward pass of a Llama model (arXiv:2302.13971) in JAX, with an adapter beside its matrices."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from penstock.lora.model_file import ModelFile
from penstock.trainer.model.base import MATRICES, Shape, shape_of
from penstock.trainer.model.lora import Adapter

Frozen: TypeAlias = dict[str, jax.Array]
"""Weights that do not learn: matrices are (layers, in, out), norms (layers, width), `embedding` (vocabulary,
width).
"""

_NORMS = ("attn_norm", "ffn_norm")


def load(file: ModelFile) -> Frozen:
    """Return a file's weights in 32 bits."""
    layers = shape_of(file).layers

    def stacked(name: str) -> jax.Array:
        weights = [file.weight(f"blk.{layer}.{name}.weight") for layer in range(layers)]
        return jnp.asarray(np.stack([weight.T for weight in weights]))

    frozen = {name: stacked(name) for name in (*MATRICES, *_NORMS)}
    frozen["embedding"] = jnp.asarray(file.weight("token_embd.weight"))
    frozen["output_norm"] = jnp.asarray(file.weight("output_norm.weight"))
    return frozen


def hidden_states(
    frozen: Frozen, adapter: Adapter, scale: float, tokens: jax.Array, shape: Shape, remember: bool = True
) -> jax.Array:
    """Return the last layer's states, normalised, of (batch, length) token ids: (batch, length, width).

    Texts begin at the left; what stands right of their end changes nothing on the left of it. The adapter's
    layers are the last ones. Without `remember`, a layer's inner values are computed again for the gradient
    (arXiv:1604.06174): less memory, a third more time.
    """
    layers = {name: frozen[name] for name in (*MATRICES, *_NORMS)}
    learning = next((parts["a"].shape[0] for parts in adapter.values()), 0)
    first = shape.layers - learning
    through = partial(_layer, shape=shape, scale=scale, around=_rotations(tokens.shape[1], shape))
    step: Callable[..., Any] = through if remember else jax.checkpoint(through)
    x = frozen["embedding"][tokens]
    if first:
        x, _ = jax.lax.scan(step, x, ({name: value[:first] for name, value in layers.items()}, {}))
    if learning:
        x, _ = jax.lax.scan(step, x, ({name: value[first:] for name, value in layers.items()}, adapter))
    return _norm(x, frozen["output_norm"], shape.epsilon)


def logits(frozen: Frozen, states: jax.Array) -> jax.Array:
    """Return what comes next, by token, of states (…, width): (…, vocabulary)."""
    return states @ frozen["embedding"].T


def _layer(
    x: jax.Array, layer: tuple[dict[str, jax.Array], Adapter], *, shape: Shape, scale: float, around: Any
) -> tuple[jax.Array, None]:
    weights, extra = layer

    def through(name: str, value: jax.Array) -> jax.Array:
        out = value @ weights[name]
        if name in extra:
            out += scale * ((value @ extra[name]["a"]) @ extra[name]["b"])
        return out

    h = _norm(x, weights["attn_norm"], shape.epsilon)
    mixed = _attention(through("attn_q", h), through("attn_k", h), through("attn_v", h), shape, around)
    x = x + through("attn_output", mixed)
    h = _norm(x, weights["ffn_norm"], shape.epsilon)
    return x + through("ffn_down", jax.nn.silu(through("ffn_gate", h)) * through("ffn_up", h)), None


@partial(jax.checkpoint, static_argnums=(3,))  # its inner values are large, and quicker made again than kept
def _attention(q: jax.Array, k: jax.Array, v: jax.Array, shape: Shape, around: Any) -> jax.Array:
    """Causal attention; several heads share a key and a value (arXiv:2305.13245).

    The heads of a group stand below one another, so that a group is one product of matrices.
    """
    batch, length, _ = q.shape
    groups, width = batch * shape.kv_heads, shape.head_width
    each = shape.heads // shape.kv_heads
    q = _rotated(q.reshape(batch, length, shape.heads, width), around)
    k = _rotated(k.reshape(batch, length, shape.kv_heads, width), around)
    q = q.transpose(0, 2, 1, 3).reshape(groups, each * length, width)
    k = k.transpose(0, 2, 3, 1).reshape(groups, width, length)
    v = v.reshape(batch, length, shape.kv_heads, width).transpose(0, 2, 1, 3).reshape(groups, length, width)
    scores = (q @ k).reshape(groups, each, length, length) / np.sqrt(width)
    scores = jnp.where(jnp.tril(jnp.ones((length, length), bool)), scores, -1e9)
    mixed = jax.nn.softmax(scores, axis=-1).reshape(groups, each * length, length) @ v
    mixed = mixed.reshape(batch, shape.heads, length, width).transpose(0, 2, 1, 3)
    return mixed.reshape(batch, length, shape.heads * width)


def _rotations(length: int, shape: Shape) -> tuple[jax.Array, jax.Array]:
    """Cosines and sines of rotary positions (arXiv:2104.09864): (length, 1, head width / 2) each."""
    speeds = shape.theta ** (-jnp.arange(0, shape.head_width, 2) / shape.head_width)
    angles = jnp.arange(length)[:, None, None] * speeds
    return jnp.cos(angles), jnp.sin(angles)


def _rotated(x: jax.Array, around: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Rotate pairs of neighbours, as GGUF stores the rows of Llama's query and key."""
    cos, sin = around
    one, other = x[..., 0::2], x[..., 1::2]
    return jnp.stack([one * cos - other * sin, other * cos + one * sin], axis=-1).reshape(x.shape)


def _norm(x: jax.Array, weight: jax.Array, epsilon: float) -> jax.Array:
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + epsilon) * weight
