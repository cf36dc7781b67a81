"""What metrics tell of backends: how long each request to one takes, its tokens, and which slots are free."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

from penstock.generation.pool import Pool
from penstock.generation.ports import BackendAway, BackendBusy, BackendFailed, BackendRefused
from penstock.messages.chat import ChatRetrieved
from penstock.messages.event import Event
from penstock.telemetry import metric_catalog, names
from penstock.telemetry.instruments import Attributes, Read, histogram
from penstock.telemetry.metric_definition import MetricDefinition

_ERRORS = {
    BackendAway: "backend_away",
    BackendBusy: "backend_busy",
    BackendFailed: "backend_failed",
    BackendRefused: "backend_refused",
}


class Call:
    """One request to a backend; `tokens` counts what it has written so far."""

    __slots__ = ("tokens",)

    def __init__(self) -> None:
        self.tokens = 0


class Calls:
    """Measures requests to backends, by OpenTelemetry's conventions for clients of GenAI servers."""

    def __init__(self) -> None:
        self._duration = histogram(metric_catalog.CLIENT_DURATION)
        self._usage = histogram(metric_catalog.TOKEN_USAGE)

    @contextmanager
    def measured(self, request: ChatRetrieved, url: str, written: int) -> Iterator[Call]:
        """Measure the block, which asks the backend at `url` to go on after `written` tokens."""
        about = {**_model(request.model), **server_of(url)}
        began, call, failed = time.perf_counter(), Call(), {}
        try:
            yield call
        except (BackendFailed, BackendRefused) as error:
            failed = {names.ERROR_TYPE: _ERRORS[type(error)]}
            raise
        finally:
            self._duration.record(time.perf_counter() - began, {**about, **failed})
            if call.tokens:  # else nothing says that it has read the prompt
                read = prompt_tokens(request) + written
                self._usage.record(read, {**about, names.GEN_AI_TOKEN_TYPE: "input"})
                self._usage.record(call.tokens, {**about, names.GEN_AI_TOKEN_TYPE: "output"})


def reads_of(pool: Pool, loops: Mapping[str, int]) -> Mapping[MetricDefinition, Read]:
    """Return what is to be looked up of the backends, and of the loops by model."""

    def slots() -> Iterator[tuple[float, Attributes]]:
        for backend in pool.usage():
            where = server_of(backend.url)
            yield backend.busy, {**where, names.PENSTOCK_STATE: "used"}
            yield max(0, backend.slots - backend.busy), {**where, names.PENSTOCK_STATE: "free"}

    return {
        metric_catalog.SLOTS: slots,
        metric_catalog.LOOPS: lambda: [
            (count, {names.GEN_AI_REQUEST_MODEL: m}) for m, count in list(loops.items())
        ],
        metric_catalog.BACKEND_UP: lambda: [(int(one.is_up), server_of(one.url)) for one in pool.usage()],
    }


def weight(event: Event) -> int:
    """Return how many tokens a question makes a backend read and write, at most."""
    assert isinstance(event, ChatRetrieved)  # noqa: S101  # the topic admits nothing else
    return prompt_tokens(event) + (event.sampling.max_tokens or 0)


def server_of(url: str) -> Attributes:
    """Return where a backend is, as the conventions say it."""
    where = urlsplit(url)
    port = where.port or {"http": 80, "https": 443}.get(where.scheme, 0)
    return {names.SERVER_ADDRESS: where.hostname or "", names.SERVER_PORT: port}


def prompt_tokens(request: ChatRetrieved) -> int:
    """Return how many tokens a backend has to read: of the conversation and of the passages."""
    return request.prompt_tokens + sum(passage.tokens for passage in request.passages)


def _model(name: str) -> Attributes:
    return {
        names.GEN_AI_OPERATION: "chat",
        names.GEN_AI_PROVIDER: "tgi",  # none of the well-known ones: the dialect that backends speak
        names.GEN_AI_REQUEST_MODEL: name,
    }
