"""The embeddings server: that it answers, and with vectors of the size that the index has."""

from __future__ import annotations

import asyncio

import msgspec
from pydantic import ValidationError

from penstock.devstack.doctor.asking import NoAnswer, ask
from penstock.devstack.doctor.finding import Finding, error
from penstock.devstack.doctor.runner import in_thread
from penstock.devstack.doctor.scene import Scene


class _Dense(msgspec.Struct):
    size: int


class _Vectors(msgspec.Struct):
    dense: _Dense


class _Index(msgspec.Struct):
    """The part of the index's own `edge_config.json` that is wanted."""

    vectors: _Vectors


class _WantsKey(Exception):
    """It does not take ours, or none."""


async def look(scene: Scene) -> list[Finding]:
    """One text, embedded; its vector's size against the setting's and the index's."""
    where = f"embeddings server {scene.embeddings}"
    try:
        size = await _size(scene)
    except _WantsKey as failure:
        to_do = "Set PENSTOCK_EMBEDDINGS_KEY, or PENSTOCK_EMBEDDINGS_KEY_FILE, to the server's key."
        return [error("embeddings.key", where, f"It wants a key, or another one ({failure}).", to_do)]
    except NoAnswer as failure:
        text = f"It does not answer ({failure})."
        return [error("embeddings.unreachable", where, text, _remedy(scene))]
    except ValueError as failure:
        return [error("embeddings.unusable", where, f"{failure}.", _remedy(scene))]
    wanted, indexed = await asyncio.gather(in_thread(_set_size), in_thread(_index_size, scene))
    if size != wanted:
        text = f"Its vectors have {size} numbers, PENSTOCK_EMBEDDING_SIZE says {wanted}."
        to_do = f"Set PENSTOCK_EMBEDDING_SIZE={size} and start the stack again, or serve the model of before."
        return [error("embeddings.size", where, text, to_do)]
    if indexed is not None and size != indexed:
        text = f"Its vectors have {size} numbers, the index was made for {indexed}."
        to_do = (
            "Serve the model of before, or stop the stack, delete the folder `index` in the state folder and"
            " feed the documents again."
        )
        return [error("embeddings.size", where, text, to_do)]
    return []


async def _size(scene: Scene) -> int:
    """How many numbers a vector has. ValueError says what else came."""
    url, longest = f"{scene.embeddings}/embed", 2 * scene.needs.reply_s
    reply = await ask(scene, url, {"inputs": ["Hello"]}, longest, scene.embeddings_key)
    if reply.wants_key:
        raise _WantsKey(f"HTTP {reply.status}")
    if not reply.ok:
        raise ValueError(f"It answers HTTP {reply.status} when it is given one word to embed")
    try:
        [vector] = msgspec.json.decode(reply.body, type=list[list[float]])
    except (msgspec.DecodeError, ValueError):
        raise ValueError("It does not answer as Text Embeddings Inference does: no list of vectors") from None
    return len(vector)


def _remedy(scene: Scene) -> str:
    if scene.inference_is_ours and scene.given("EMBEDDINGS") is None:
        return "Read `penstock logs inference`."
    return "Start it, or correct PENSTOCK_EMBEDDINGS: a server of Text Embeddings Inference's dialect."


def _set_size() -> int:
    from penstock.retrieval.settings import Settings

    try:
        return Settings().embedding_size
    except ValidationError:
        return int(Settings.model_fields["embedding_size"].default)


def _index_size(scene: Scene) -> int | None:
    """The size for which the first replica's own index was made; None if there is none."""
    folder = scene.state.folder / "index"
    try:
        current = (folder / "current").read_text("ascii").strip()
        return msgspec.json.decode(
            (folder / current / "edge_config.json").read_bytes(), type=_Index
        ).vectors.dense.size
    except (OSError, ValueError):
        return None
