"""A backend that speaks Text Generation Inference's dialect, through huggingface-hub's client."""

from collections.abc import AsyncGenerator

import httpx2
import msgspec
from huggingface_hub import AsyncInferenceClient, set_async_client_factory
from huggingface_hub.errors import (
    InferenceTimeoutError,
    OverloadedError,
    TextGenerationError,
    ValidationError,
)
from huggingface_hub.inference._generated.types.text_generation import TextGenerationStreamOutput

from penstock.generation.ports import BackendAway, BackendBusy, BackendFailed, BackendRefused, End, Token
from penstock.messages.chat import Sampling
from penstock.telemetry.http import Transport

CONNECT_SECONDS = 5.0
TOO_MANY_REQUESTS = 429
AWAY = (502, 503, 504)  # it starts, or something before it finds it gone
REFUSALS = (400, 413, 422)  # what is wrong with the request; other statuses speak of the server


class _Info(msgspec.Struct):
    max_concurrent_requests: int


class _Error(msgspec.Struct):
    error: str


class ErrorStatus(httpx2.HTTPError):
    """A response with an error status. The hub's client has trouble with the bodies of those."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.body = body


class SharedTransport(httpx2.AsyncBaseTransport):
    """One connection pool under many short-lived clients, whose closing it outlives.

    The hub's client keeps every response open until the client itself is closed, so each request has a
    client of its own; only that frees the backend's slot when a stream is given up.
    """

    def __init__(self) -> None:
        self._transport = Transport(limits=httpx2.Limits(max_connections=None, max_keepalive_connections=64))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        # How long an answer may take is the caller's to know; a server that does not even connect is gone.
        timeouts = request.extensions.get("timeout", {})
        request.extensions["timeout"] = {**timeouts, "connect": CONNECT_SECONDS}
        response = await self._transport.handle_async_request(request)
        if response.is_error:
            raise ErrorStatus(response.status_code, await response.aread())
        return response

    async def close_for_good(self) -> None:
        """Close the connections."""
        await self._transport.aclose()


def use_transport(transport: SharedTransport) -> None:
    """Make huggingface-hub's clients of this process use `transport`."""
    set_async_client_factory(lambda: httpx2.AsyncClient(transport=transport, trust_env=False))


class TgiBackend:
    """Port: Backend. Needs `use_transport` first."""

    def __init__(self, url: str, transport: SharedTransport) -> None:
        self._url = url
        self._client = httpx2.AsyncClient(transport=transport, trust_env=False, timeout=CONNECT_SECONDS)
        self._slots = 0

    @property
    def url(self) -> str:
        return self._url

    @property
    def slots(self) -> int:
        return self._slots

    async def check(self) -> None:
        try:
            response = await self._client.get(f"{self._url}/info")
            response.raise_for_status()
            self._slots = msgspec.json.decode(response.content, type=_Info).max_concurrent_requests
        except (httpx2.HTTPError, msgspec.DecodeError):
            self._slots = 0

    async def stream(self, prompt: str, sampling: Sampling) -> AsyncGenerator[Token | End, None]:
        try:
            async with AsyncInferenceClient(self._url) as client:
                outputs = await client.text_generation(
                    prompt, stream=True, details=True, **_parameters(sampling)
                )
                async for output in outputs:
                    yield _token(output)
                    if output.details is not None:
                        yield _end(output)
                        return
        except ValidationError as error:
            raise BackendRefused(str(error)) from error
        except OverloadedError as error:
            raise BackendBusy(str(error)) from error
        except ErrorStatus as error:
            raise _failure(error) from error
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            raise BackendAway(f"{type(error).__name__}: {error}") from error
        except (TextGenerationError, InferenceTimeoutError, httpx2.HTTPError) as error:
            raise BackendFailed(f"{type(error).__name__}: {error}") from error


def _failure(error: ErrorStatus) -> BackendFailed | BackendRefused:
    """Return what an error status means, with the server's own words if it speaks TGI's dialect."""
    try:
        reason = msgspec.json.decode(error.body, type=_Error).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        reason = str(error)
    if error.status == TOO_MANY_REQUESTS:
        return BackendBusy(reason)
    if error.status in AWAY:
        return BackendAway(reason)
    return BackendRefused(reason) if error.status in REFUSALS else BackendFailed(reason)


def _parameters(sampling: Sampling) -> dict[str, object]:
    """Return TGI's parameters: no temperature, or 0, is greedy; top_p of 1 means none and is left out."""
    greedy = not sampling.temperature
    return {
        "max_new_tokens": sampling.max_tokens,
        "do_sample": not greedy,
        "temperature": None if greedy else sampling.temperature,
        "top_p": None if greedy or sampling.top_p == 1 else sampling.top_p,
        "frequency_penalty": sampling.frequency_penalty or None,
        "seed": sampling.seed,
        "stop": list(sampling.stop) or None,
        "return_full_text": False,
    }


def _token(output: TextGenerationStreamOutput) -> Token:
    return Token("" if output.token.special else output.token.text)


def _end(output: TextGenerationStreamOutput) -> End:
    assert output.details is not None  # noqa: S101  # the caller looked
    length = output.details.finish_reason == "length"
    return End("length" if length else "stop", output.details.generated_tokens)
