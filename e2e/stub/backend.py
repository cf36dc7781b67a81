"""A model server without a model: TGI's dialect, and TEI's below ``/tei``.

It costs little processor time, so that what a benchmark measures is Penstock. What it says is a function of
the prompt (`e2e.stub.text`), when it says so is set by `Behaviour`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar
from zlib import crc32

import msgspec

from e2e.stub import scripted, text, wire
from e2e.stub.answer import MAX_TOTAL_TOKENS, Answer, Writing
from e2e.stub.serving import Exchange

T = TypeVar("T")

MAX_INPUT_TOKENS = 8_191
_NO_FAULTS = wire.Faults()
_encode = msgspec.json.Encoder().encode


class Refused(Exception):
    """An answer with an error status, in TGI's form."""

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type


class Stub:
    """The app of a `StubServer`. `behaviour` and `faults` may be replaced at any time; `stats` counts."""

    def __init__(self, behaviour: wire.Behaviour, model_id: str = "stub") -> None:
        self.behaviour = behaviour
        self.faults = wire.Faults()
        self.stats = wire.Stats()
        self._befallen: set[int] = set()
        self._attempts: dict[str, int] = {}
        self._running: dict[int, tuple[str, float]] = {}
        self._model_id = model_id
        self._generating = {("POST", path): path for path in ("/", "/generate", "/generate_stream")}
        self._plain: dict[tuple[str, str], Callable[[bytes], bytes]] = {
            ("GET", "/info"): lambda _: _encode(self._info()),
            ("GET", "/health"): lambda _: b"",
            ("POST", "/tokenize"): _tokenize,
            ("POST", "/chat_tokenize"): _chat_tokenize,
            ("GET", "/tei/info"): lambda _: _encode(_tei_info()),
            ("GET", "/tei/health"): lambda _: b"",
            ("POST", "/tei/embed"): self._embed,
            ("GET", "/stub/stats"): lambda _: _encode(self.stats),
            ("GET", "/stub/behaviour"): lambda _: _encode(self.behaviour),
            ("PUT", "/stub/behaviour"): self._change,
            ("GET", "/stub/running"): lambda _: _encode(self._under_way()),
            ("GET", "/faults"): lambda _: _encode(self.faults),
            ("POST", "/faults"): self._break,
        }

    def __call__(self, exchange: Exchange) -> None:
        """Answer, or begin to."""
        route = (exchange.method, exchange.path)
        try:
            if route in self._generating:
                self._generate(exchange)
            elif route in self._plain:
                exchange.respond(200, self._plain[route](exchange.body))
            else:
                exchange.respond(404, b"")
        except Refused as refused:
            error = {"error": str(refused), "error_type": refused.error_type}
            exchange.respond(refused.status, _encode(error))

    def _generate(self, exchange: Exchange) -> None:
        asked, path = _decode(exchange.body, wire.GenerateRequest), exchange.path
        if not asked.inputs:
            raise Refused(422, "validation", "Input validation error: `inputs` cannot be empty")
        behaviour = self.behaviour
        answer = Answer(asked, behaviour, self._attempt(asked) if behaviour.vary else 0)
        writing = Writing(answer, exchange, behaviour, self.stats, self._slot(asked, answer))
        if path == "/generate_stream" or (path == "/" and asked.stream):
            writing.stream(self._faults_of)
        else:
            writing.whole(lambda whole: _encode([whole] if path == "/" else whole))

    def _slot(self, asked: wire.GenerateRequest, answer: Answer) -> Callable[[bool], None]:
        """Take a slot, and return what gives it back and notes whether the answer was abandoned."""
        if self.stats.running >= self.behaviour.slots:
            self.stats.refused += 1
            raise Refused(429, "overloaded", "Model is overloaded")
        self.stats.running += 1
        self.stats.requests += 1
        self.stats.strayed += answer.strays
        self.stats.prompt_characters += len(asked.inputs)
        self._running[id(answer)] = (answer.script, asyncio.get_running_loop().time())

        def give_back(abandoned: bool) -> None:
            self.stats.abandoned += abandoned
            del self._running[id(answer)]
            self.stats.running -= 1

        return give_back

    def _attempt(self, asked: wire.GenerateRequest) -> int:
        """Return how often the script was asked for before."""
        found = scripted.script_of(asked.inputs)
        name = found[0].name if found else ""
        before = self._attempts.get(name, 0)
        self._attempts[name] = before + 1
        return before

    def _under_way(self) -> list[wire.Running]:
        now = asyncio.get_running_loop().time()
        return [wire.Running(script, now - since) for script, since in self._running.values()]

    def _faults_of(self, answer: Answer) -> wire.Faults:
        """Return what shall go wrong with a stream of this answer."""
        faults = self.faults
        if faults.cut_at is None and faults.stall_at is None:
            return faults
        who = crc32((answer.script or answer.inputs).encode())
        if who in self._befallen or who % 1000 >= faults.share * 1000:
            return _NO_FAULTS
        if answer.count > min(k for k in (faults.cut_at, faults.stall_at) if k is not None):
            self._befallen.add(who)
        return faults

    def _break(self, body: bytes) -> bytes:
        self.faults = _decode(body, wire.Faults)
        self._befallen.clear()
        return _encode(self.faults)

    def _embed(self, body: bytes) -> bytes:
        inputs = _decode(body, wire.EmbedRequest).inputs
        texts = [inputs] if isinstance(inputs, str) else inputs
        self.stats.embedded += len(texts)
        return _encode([text.embedding(one) for one in texts])

    def _change(self, body: bytes) -> bytes:
        changes = _decode(body, dict[str, Any])
        try:
            self.behaviour = msgspec.convert(
                msgspec.to_builtins(self.behaviour) | changes, wire.Behaviour, strict=True
            )
        except msgspec.ValidationError as error:
            raise Refused(422, "validation", str(error)) from error
        return _encode(self.behaviour)

    def _info(self) -> dict[str, object]:
        return {
            "model_id": self._model_id,
            "model_sha": None,
            "model_pipeline_tag": "text-generation",
            "max_concurrent_requests": self.behaviour.slots,
            "max_best_of": 1,
            "max_stop_sequences": 4,
            "max_input_tokens": MAX_INPUT_TOKENS,
            "max_total_tokens": MAX_TOTAL_TOKENS,
            "validation_workers": 1,
            "max_client_batch_size": 1,
            "router": "stub",
            "version": "1",
        }


def _tei_info() -> dict[str, object]:
    return {
        "model_id": "stub",
        "model_sha": None,
        "model_dtype": "float32",
        "served_model_name": "stub",
        "model_type": {"embedding": {"pooling": "mean"}},
        "max_concurrent_requests": 512,
        "max_input_length": MAX_INPUT_TOKENS,
        "max_batch_tokens": MAX_TOTAL_TOKENS,
        "max_client_batch_size": 32,
        "auto_truncate": True,
        "tokenization_workers": 1,
        "version": "1",
    }


def _tokenize(body: bytes) -> bytes:
    return _encode(_simple_tokens(_decode(body, wire.GenerateRequest).inputs))


def _chat_tokenize(body: bytes) -> bytes:
    messages = _decode(body, wire.ChatRequest).messages
    prompt = text.chat_prompt([(message.role, message.content) for message in messages])
    return _encode(wire.ChatTokenizeResponse(_simple_tokens(prompt), prompt))


def _simple_tokens(whole: str) -> list[wire.SimpleToken]:
    return [wire.SimpleToken(piece.id, piece.text, piece.start, piece.stop) for piece in text.pieces(whole)]


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise Refused(422, "validation", f"Input validation error: {error}") from error
