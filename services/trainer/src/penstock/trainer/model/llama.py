"""The forward pass of a Llama model (arXiv:2302.13971) in JAX, with an adapter beside its matrices."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

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
_QUERIES = 64
"""So many queries at a time: measured, of 64 to 448."""


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


class Text(NamedTuple):
    """Token ids, (batch, length) each: a beginning, then branches that do not see one another.

    `branches` is 0 for the beginning and for what is not used, and counts from 1; every branch's `positions`
    go on where the beginning ends.
    """

    tokens: jax.Array
    positions: jax.Array
    branches: jax.Array


def plain(tokens: jax.Array) -> Text:
    """Return texts without branches."""
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    return Text(tokens, positions, jnp.zeros(tokens.shape, jnp.int32))


def hidden_states(
    frozen: Frozen, adapter: Adapter, scale: float, text: Text, shape: Shape, remember: bool = True
) -> jax.Array:
    """Return the last layer's states, normalised: (batch, length, width).

    Texts begin at the left; what stands right of their end changes nothing on the left of it. The adapter's
    layers are the last ones. Without `remember`, a layer's inner values are computed again for the gradient
    (arXiv:1604.06174): less memory, a third more time.
    """
    layers = {name: frozen[name] for name in (*MATRICES, *_NORMS)}
    learning = next((parts["a"].shape[0] for parts in adapter.values()), 0)
    first = shape.layers - learning
    through = partial(
        _layer,
        shape=shape,
        scale=scale,
        around=_rotations(text.positions, shape),
        visible=_visible(text.branches),
    )
    step: Callable[..., Any] = through if remember else jax.checkpoint(through)
    x = frozen["embedding"][text.tokens]
    if first:
        x, _ = jax.lax.scan(step, x, ({name: value[:first] for name, value in layers.items()}, {}))
    if learning:
        taught = {name: value[first:] for name, value in layers.items()}
        x, _ = jax.lax.scan(step, x, (taught | _merged(taught, adapter, scale), adapter))
    return _norm(x, frozen["output_norm"], shape.epsilon)


def logits(frozen: Frozen, states: jax.Array) -> jax.Array:
    """Return what comes next, by token, of states (…, width): (…, vocabulary)."""
    return states @ frozen["embedding"].T


def _layer(
    x: jax.Array,
    layer: tuple[dict[str, jax.Array], Adapter],
    *,
    shape: Shape,
    scale: float,
    around: Any,
    visible: jax.Array,
) -> tuple[jax.Array, None]:
    weights, extra = layer

    def through(name: str, value: jax.Array) -> jax.Array:
        if name in extra:
            return _taught(value, weights[name], extra[name]["a"], extra[name]["b"], scale)
        return value @ weights[name]

    h = _norm(x, weights["attn_norm"], shape.epsilon)
    q, k, v = through("attn_q", h), through("attn_k", h), through("attn_v", h)
    mixed = _attention(q, k, v, shape, around, visible)
    x = x + through("attn_output", mixed)
    h = _norm(x, weights["ffn_norm"], shape.epsilon)
    return x + through("ffn_down", jax.nn.silu(through("ffn_gate", h)) * through("ffn_up", h)), None


def _merged(weights: dict[str, jax.Array], adapter: Adapter, scale: float) -> dict[str, jax.Array]:
    """Return the matrices that learn with what they have learned, once for all tokens."""
    return {
        name: jax.lax.stop_gradient(weights[name] + scale * (parts["a"] @ parts["b"]))
        for name, parts in adapter.items()
    }


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _taught(
    x: jax.Array,
    merged: jax.Array,
    a: jax.Array,  # noqa: ARG001  # only the gradient needs what learns
    b: jax.Array,  # noqa: ARG001  # the same
    scale: float,  # noqa: ARG001  # the same
) -> jax.Array:
    """The product with a matrix that has its adapter's in it. Learning goes into `a` and `b` alone.

    A processor is slow at products of rank 8 with many rows: this way there are none in the forward pass, and
    three instead of four in the backward pass.
    """
    return x @ merged


def _taught_forward(
    x: jax.Array,
    merged: jax.Array,
    a: jax.Array,
    b: jax.Array,
    scale: float,  # noqa: ARG001  # as in _taught
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    return x @ merged, (x, merged, a, b)


def _taught_backward(
    scale: float, kept: tuple[jax.Array, ...], change: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    x, merged, a, b = kept
    rows, changes = x.reshape(-1, x.shape[-1]), change.reshape(-1, change.shape[-1])
    return (
        change @ merged.T,
        jnp.zeros_like(merged),
        scale * (rows.T @ (changes @ b.T)),
        scale * ((rows @ a).T @ changes),
    )


_taught.defvjp(_taught_forward, _taught_backward)


@partial(jax.checkpoint, static_argnums=(3,))  # its inner values are large, and quicker made again than kept
def _attention(
    q: jax.Array, k: jax.Array, v: jax.Array, shape: Shape, around: Any, visible: jax.Array
) -> jax.Array:
    """Causal attention; several heads share a key and a value (arXiv:2305.13245).

    The heads of a group stand below one another, so that a group is one product of matrices. A few queries
    at a time meet only the keys up to the last of them, which halves the work.
    """
    batch, length, _ = q.shape
    groups, width = batch * shape.kv_heads, shape.head_width
    each = shape.heads // shape.kv_heads
    q = _rotated(q.reshape(batch, length, shape.heads, width), around)
    k = _rotated(k.reshape(batch, length, shape.kv_heads, width), around)
    q = q.transpose(0, 2, 1, 3).reshape(groups, each, length, width)
    k = k.transpose(0, 2, 3, 1).reshape(groups, width, length)
    v = v.reshape(batch, length, shape.kv_heads, width).transpose(0, 2, 1, 3).reshape(groups, length, width)
    mixed = []
    for begin in range(0, length, _QUERIES):
        end = min(length, begin + _QUERIES)
        count = end - begin
        scores = q[:, :, begin:end].reshape(groups, each * count, width) @ k[:, :, :end] / np.sqrt(width)
        scores = scores.reshape(batch, shape.kv_heads, each, count, end)
        scores = jnp.where(visible[:, None, None, begin:end, :end], scores, -1e9)
        shares = jax.nn.softmax(scores, axis=-1).reshape(groups, each * count, end)
        mixed.append((shares @ v[:, :end]).reshape(batch, shape.heads, count, width))
    return jnp.concatenate(mixed, axis=2).transpose(0, 2, 1, 3).reshape(batch, length, shape.heads * width)


def _visible(branches: jax.Array) -> jax.Array:
    """Which keys a query sees, (batch, queries, keys): before it, and of the beginning or its own branch."""
    length = branches.shape[1]
    own = branches[:, :, None] == branches[:, None, :]
    beginning = branches[:, None, :] == 0
    return jnp.tril(jnp.ones((length, length), bool)) & (own | beginning)


def _rotations(positions: jax.Array, shape: Shape) -> tuple[jax.Array, jax.Array]:
    """Cosines and sines of rotary positions (arXiv:2104.09864): (batch, length, 1, head width / 2) each."""
    speeds = shape.theta ** (-jnp.arange(0, shape.head_width, 2) / shape.head_width)
    angles = positions[..., None, None] * speeds
    return jnp.cos(angles), jnp.sin(angles)


def _rotated(x: jax.Array, around: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Rotate pairs of neighbours, as GGUF stores the rows of Llama's query and key."""
    cos, sin = around
    one, other = x[..., 0::2], x[..., 1::2]
    return jnp.stack([one * cos - other * sin, other * cos + one * sin], axis=-1).reshape(x.shape)


def _norm(x: jax.Array, weight: jax.Array, epsilon: float) -> jax.Array:
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + epsilon) * weight
