"""Model servers: that they answer, in the right dialect, with a model, and in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import msgspec
from pydantic import ValidationError

from penstock.devstack.doctor.asking import NoAnswer, Reply, TooSlow, ask
from penstock.devstack.doctor.finding import Finding, error, warning
from penstock.devstack.doctor.scene import Scene
from penstock.messages.backends import Backend

_SETTING = "PENSTOCK_BACKENDS"
_TOO_MANY = 429


class _Info(msgspec.Struct):
    """The part of TGI's GET /info that tells its dialect; TEI has `model_type`, and both have `model_id`."""

    model_id: str = ""
    max_total_tokens: int | None = None
    model_type: object = None


async def look(scene: Scene) -> list[Finding]:
    """Every model server, and whether the names on offer are those of their models."""
    outcomes = await asyncio.gather(*(_one(scene, backend) for backend in scene.backends))
    findings = [finding for found, _ in outcomes for finding in found]
    served = {model for _, model in outcomes if model}
    if served and not findings:
        findings += _names(served)
    return findings


async def _one(scene: Scene, backend: Backend) -> tuple[list[Finding], str]:
    """What is wrong with one server, and the name of its model."""
    where, key = f"model server {backend.url}", scene.backend_key
    try:
        health = await ask(scene, f"{backend.url}/health", key=key)
        reply = await ask(scene, f"{backend.url}/info", key=key)
    except NoAnswer as failure:
        return [_unreachable(scene, where, failure)], ""
    if health.wants_key or reply.wants_key:
        return [_wants_key(where, health if health.wants_key else reply)], ""
    info = _info(reply)
    if info is None or info.max_total_tokens is None:
        return [await _other_dialect(scene, backend, where, info)], ""
    if not health.ok:
        text = f"It answers, but says that it is not well (HTTP {health.status} for /health)."
        to_do = "If it is still loading its model, wait; else read its log and start it again."
        return [error("backends.unhealthy", where, text, to_do)], info.model_id
    if not info.model_id:
        text = "It serves no model: its /info names none."
        return [error("backends.no-model", where, text, "Start it with a model.")], ""
    return await _try(scene, backend, where), info.model_id


def _wants_key(where: str, reply: Reply) -> Finding:
    return error(
        "backends.key",
        where,
        f"It wants a key, or another one (HTTP {reply.status}).",
        "Set PENSTOCK_BACKEND_KEY, or PENSTOCK_BACKEND_KEY_FILE, to the key of the model servers.",
    )


def _unreachable(scene: Scene, where: str, failure: NoAnswer) -> Finding:
    ours = scene.inference_is_ours and scene.given("BACKENDS") is None
    return error(
        "backends.unreachable",
        where,
        f"It does not answer ({failure}).",
        "Read `penstock logs inference`." if ours else f"Start it, or correct its address in {_SETTING}.",
    )


def _info(reply: Reply) -> _Info | None:
    try:
        return msgspec.json.decode(reply.body, type=_Info) if reply.ok else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


async def _other_dialect(scene: Scene, backend: Backend, where: str, info: _Info | None) -> Finding:
    if info is not None and info.model_type is not None:
        text = "It is an embeddings server (Text Embeddings Inference)."
        return error("backends.dialect", where, text, f"Name it in PENSTOCK_EMBEDDINGS, not in {_SETTING}.")
    try:
        models = await ask(scene, f"{backend.url}/v1/models", key=scene.backend_key)
        speaks_openai = models.ok and b'"data"' in models.body
    except NoAnswer:
        speaks_openai = False
    told = (
        "It speaks OpenAI's dialect only" if speaks_openai else "It is no model server, or of another dialect"
    )
    return error(
        "backends.dialect",
        where,
        f"{told}: its /info does not answer as Text Generation Inference does.",
        f"Put a Text Generation Inference server there, or correct the address in {_SETTING}.",
    )


async def _try(scene: Scene, backend: Backend, where: str) -> list[Finding]:
    """One token."""
    body = {"inputs": "Hello", "parameters": {"max_new_tokens": 1}}
    started, longest = time.monotonic(), 2 * scene.needs.reply_s
    try:
        reply = await ask(scene, f"{backend.url}/generate", body, longest, scene.backend_key)
    except TooSlow:
        return [_slow(where, f"It took more than {longest:g} s for one token.")]
    except NoAnswer as failure:
        text = f"It is well, but generating ends without an answer ({failure})."
        return [error("backends.failing", where, text, "Read its log.")]
    if reply.wants_key:
        return [_wants_key(where, reply)]
    if reply.status == _TOO_MANY:
        return [_slow(where, "Every slot is taken: it refuses one more request (HTTP 429).")]
    if not reply.ok:
        text = f"It is well, but answers a prompt of one word with HTTP {reply.status}."
        return [error("backends.failing", where, text, "Read its log.")]
    took = time.monotonic() - started
    return [_slow(where, f"It took {took:.1f} s for one token.")] if took > scene.needs.answer_s else []


def _slow(where: str, text: str) -> Finding:
    return warning(
        "backends.slow",
        where,
        text,
        "It is overloaded or too small: more servers in PENSTOCK_BACKENDS, or less load.",
    )


def _names(served: Sequence[str] | set[str]) -> list[Finding]:
    """Whether the gateway offers, by PENSTOCK_MODELS, what no server has."""
    from penstock.gateway.settings import Settings

    try:
        offered = Settings().models
    except ValidationError:
        return []
    nobody_has = [name for name in offered if name not in served]
    if not nobody_has:
        return []
    return [
        warning(
            "backends.names",
            "PENSTOCK_MODELS",
            f"It offers {', '.join(nobody_has)}, but the model servers serve {', '.join(sorted(served))}:"
            " clients are told another name than the model's.",
            "If that is not meant, unset PENSTOCK_MODELS: the servers are asked then.",
        )
    ]
