"""A model server without a model: TGI's dialect, and TEI's below ``/tei``, as a plain ASGI app.

It costs little processor time, so that what a benchmark measures is Penstock: no framework, one send a
token. What it says is a function of the prompt (`e2e.stub.text`), when it says so is set by `Behaviour`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar
from zlib import crc32

import msgspec

from e2e.stub import scripted, text, wire

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
T = TypeVar("T")

JSON = b"application/json"
MAX_INPUT_TOKENS = 8_191
MAX_TOTAL_TOKENS = 8_192
_CHARACTERS_PER_TOKEN = 4
_LONG_PAUSE_S = 0.1
_NO_FAULTS = wire.Faults()
_encode = msgspec.json.Encoder().encode


class Refused(Exception):
    """An answer with an error status, in TGI's form."""

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type


class Answer:
    """One answer: its tokens, and why it ends."""

    def __init__(self, asked: wire.GenerateRequest, behaviour: wire.Behaviour, attempt: int = 0) -> None:
        given = asked.parameters or wire.Parameters()
        self.inputs = asked.inputs
        self.details = given.details
        self.prefix = asked.inputs if given.return_full_text else ""
        self.reason: scripted.Ending
        self.strays = False
        self._written: tuple[str, ...] | None = None
        found = scripted.script_of(asked.inputs)
        self.script = found[0].name if found else ""
        if found:
            script, written = found
            left = scripted.varied(script, written, attempt if behaviour.vary else 0)
            self.strays = not behaviour.vary and scripted.strays(script, written)
            self._written, self.reason = scripted.ended(left, given.max_new_tokens, given.stop or ())
            self.count = len(self._written)
        else:
            most = max(0, behaviour.tokens - text.words_so_far(asked.inputs))
            wanted = given.max_new_tokens or MAX_TOTAL_TOKENS
            self.count = min(wanted, most)
            self.reason = "length" if wanted <= most else "eos_token"

    @property
    def input_length(self) -> int:
        """Roughly the prompt's length in tokens: to count them would cost more than all the rest."""
        return max(1, len(self.inputs) // _CHARACTERS_PER_TOKEN)

    def tokens(self) -> Iterator[wire.Token]:
        """Yield the tokens; an answer that had ended before has one special token without text, as TGI's."""
        if self.count == 0:
            yield wire.Token(2, "", special=True)
        words = islice(text.words(self.inputs), self.count) if self._written is None else self._written
        for word in words:
            yield wire.Token(crc32(word.encode()) % 32_000, word)

    def events(self) -> Iterator[bytes]:
        """Yield the server-sent events of the stream."""
        written: list[str] = []
        last = max(1, self.count)
        for index, token in enumerate(self.tokens(), 1):
            written.append(token.text)
            event = wire.StreamResponse(index, token)
            if index == last:
                event.generated_text = self.prefix + "".join(written)
                if self.details:
                    event.details = wire.StreamDetails(self.reason, self.count, None, self.input_length)
            yield b"data:" + _encode(event) + b"\n\n"

    def whole(self) -> wire.GenerateResponse:
        """Return the answer in one piece."""
        tokens = list(self.tokens())
        details = wire.Details(self.reason, self.count, None, tokens) if self.details else None
        return wire.GenerateResponse(self.prefix + "".join(token.text for token in tokens), details)


class Stub:
    """The ASGI app. `behaviour` and `faults` may be replaced at any time; `stats` counts."""

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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        route = (scope["method"], scope["path"])
        try:
            body = await _body(receive)
            if route in self._generating:
                await self._generate(scope["path"], body, receive, send)
            elif route in self._plain:
                await _respond(send, 200, self._plain[route](body))
            else:
                await _respond(send, 404, b"")
        except Refused as refused:
            error = {"error": str(refused), "error_type": refused.error_type}
            await _respond(send, refused.status, _encode(error))

    async def _generate(self, path: str, body: bytes, receive: Receive, send: Send) -> None:
        asked = _decode(body, wire.GenerateRequest)
        if not asked.inputs:
            raise Refused(422, "validation", "Input validation error: `inputs` cannot be empty")
        stream = path == "/generate_stream" or (path == "/" and asked.stream)
        behaviour = self.behaviour
        answer = Answer(asked, behaviour, self._attempt(asked) if behaviour.vary else 0)
        with self._slot(asked, answer):
            gone = asyncio.create_task(_gone(receive))
            try:
                if stream:
                    await self._stream(answer, behaviour, gone, send)
                else:
                    seconds = behaviour.first_ms + behaviour.inter_ms * max(0, answer.count - 1)
                    await _pause(seconds / 1000, gone)
                    whole = answer.whole()
                    self.stats.tokens += answer.count
                    await _respond(send, 200, _encode([whole] if path == "/" else whole))
            finally:
                self.stats.abandoned += gone.done()
                gone.cancel()

    @contextmanager
    def _slot(self, asked: wire.GenerateRequest, answer: Answer) -> Iterator[None]:
        if self.stats.running >= self.behaviour.slots:
            self.stats.refused += 1
            raise Refused(429, "overloaded", "Model is overloaded")
        self.stats.running += 1
        self.stats.requests += 1
        self.stats.strayed += answer.strays
        self.stats.prompt_characters += len(asked.inputs)
        self._running[id(answer)] = (answer.script, asyncio.get_running_loop().time())
        try:
            yield
        finally:
            del self._running[id(answer)]
            self.stats.running -= 1

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

    async def _stream(
        self, answer: Answer, behaviour: wire.Behaviour, gone: asyncio.Task[None], send: Send
    ) -> None:
        clock = asyncio.get_running_loop().time
        due = clock() + behaviour.first_ms / 1000
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]
        await _pause(behaviour.first_ms / 1000, gone)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        faults = self._faults_of(answer)
        for index, event in enumerate(answer.events()):
            if index == faults.cut_at:
                self.stats.broken += 1
                return  # the server closes a connection whose response is not complete
            if index == faults.stall_at:
                self.stats.broken += 1
                await gone
                return
            # By the clock, not by the last send: a late token does not make all the others late.
            await _pause(due - clock(), gone)
            if gone.done():
                return
            await send({"type": "http.response.body", "body": event, "more_body": True})
            self.stats.tokens += 1
            due += behaviour.inter_ms / 1000
        await send({"type": "http.response.body", "body": b""})

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


async def _body(receive: Receive) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return body


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _pause(seconds: float, gone: asyncio.Task[None]) -> None:
    """Wait so long; a long wait ends when the client goes, a short one is not worth watching."""
    if seconds < _LONG_PAUSE_S:
        await asyncio.sleep(max(0.0, seconds))
    else:
        await asyncio.wait({gone}, timeout=seconds)


async def _respond(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", JSON), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
