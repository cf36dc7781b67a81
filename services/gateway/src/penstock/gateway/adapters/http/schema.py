"""The OpenAPI document: FastAPI's own, with bodies described from the structs that read and write them."""

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from penstock.gateway.domain import wire
from penstock.gateway.domain.request_info import MAX_GRACE_S, MAX_KEY
from penstock.messages.event import JSON

ABOUT = (
    "Chat completions in OpenAI's dialect, whose answers cite the files of vector stores. Every response "
    "carries `x-request-id`; every error has the shape of `ErrorResponse` and says what to do."
)
_REFS = "#/components/schemas/{name}"
_STRUCTS = (
    wire.ChatCompletionRequest,
    wire.FileSearchTool,
    wire.ChatCompletion,
    wire.ChatCompletionChunk,
    wire.ChatCompletionStatus,
    wire.Model,
    wire.ModelList,
    wire.ErrorResponse,
)
_KEY = "apiKey"
SECURITY: list[dict[str, Any]] = [{_KEY: []}]


def _ref(name: str) -> dict[str, Any]:
    return {"schema": {"$ref": _REFS.format(name=name)}}


def ok(description: str, **content: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a response, with its content by media type."""
    return {"description": description, "content": content}


def failures(**reasons: str) -> dict[str, Any]:
    """Return the descriptions of error responses, by status (`_404`)."""
    return {
        status.removeprefix("_"): {"description": reason, "content": {JSON: _ref("ErrorResponse")}}
        for status, reason in reasons.items()
    }


COMMON = {"_401": "No API key, or a wrong one", "_503": "Not ready: `/readyz` says what is waited for"}


def parameter(where: str, name: str, description: str, **schema: Any) -> dict[str, Any]:
    """Return the description of a parameter, `where` being path, query or header."""
    return {
        "in": where,
        "name": name,
        "required": where == "path",
        "description": description,
        "schema": {"type": "string", **schema},
    }


_ID = parameter("path", "id", "`id` of the completion, or its `x-request-id`")
_GRACE = parameter(
    "header",
    "X-Disconnect-Grace",
    "Seconds for which a client that has gone is waited for before the request is cancelled",
    type="number",
    minimum=0,
    maximum=MAX_GRACE_S,
)
_LAST_EVENT = parameter(
    "header", "Last-Event-ID", "`id` of the last event that the client has", type="integer", minimum=0
)
_EVENTS = (
    "events `id: N`, `data: {ChatCompletionChunk}`, closed by `data: [DONE]`, or by `data: {ErrorResponse}` "
    "if it fails on the way. Ids are the same at every gateway"
)

CHAT: dict[str, Any] = {
    "security": SECURITY,
    "parameters": [
        parameter(
            "header",
            "Idempotency-Key",
            "The same key with the same body is the same request and answer, for 24 hours",
            minLength=1,
            maxLength=MAX_KEY,
        ),
        {**_LAST_EVENT, "description": "With Idempotency-Key: go on after this event"},
        _GRACE,
    ],
    "requestBody": {"required": True, "content": {JSON: _ref("ChatCompletionRequest")}},
    "responses": {
        "200": ok(
            f"The answer; with `stream: true` as {_EVENTS}",
            **{JSON: _ref("ChatCompletion"), "text/event-stream": _ref("ChatCompletionChunk")},
        ),
        **failures(
            _400="A parameter is wrong or not supported; `param` names it",
            _404="No such model; or, with `Last-Event-ID`, the key's request is not known any more",
            _408="The body took too long",
            _413="The body is too large",
            _415="The body is not JSON",
            _422="The Idempotency-Key was used for another body",
            _429="Too many open requests, or the backends are full",
            _499="The request was cancelled",
            _500="The answer failed",
            _504="No answer by the request's deadline",
            **COMMON,
        ),
    },
}
_EARLIER = {
    "_404": "No such request: never made, expired, or another tenant's",
    "_429": "Too many open requests",
    **COMMON,
}
RETRIEVE: dict[str, Any] = {
    "security": SECURITY,
    "parameters": [_ID],
    "responses": {
        "200": ok("The answer, as the POST gave it", **{JSON: _ref("ChatCompletion")}),
        "202": ok("It goes on still", **{JSON: _ref("ChatCompletionStatus")}),
        **failures(_499="It was cancelled", _500="It failed; other codes as of the POST", **_EARLIER),
    },
}
RESUME: dict[str, Any] = {
    "security": SECURITY,
    "parameters": [
        _ID,
        parameter(
            "query", "starting_after", "`id` of the last event that the client has", type="integer", minimum=0
        ),
        parameter("query", "include_usage", "As in `stream_options`", type="boolean", default=False),
        {**_LAST_EVENT, "description": "The same; it goes before `starting_after`"},
        _GRACE,
    ],
    "responses": {
        "200": ok(f"The {_EVENTS}", **{"text/event-stream": _ref("ChatCompletionChunk")}),
        "204": {"description": "The client has all of it"},
        **failures(
            _400="No such event",
            _499="It was cancelled before any text",
            _500="It failed before any text; other codes as of the POST",
            **_EARLIER,
        ),
    },
}
CANCEL: dict[str, Any] = {
    "security": SECURITY,
    "parameters": [_ID],
    "responses": {
        "200": ok("It had ended before", **{JSON: _ref("ChatCompletionStatus")}),
        "202": ok("It will be given up", **{JSON: _ref("ChatCompletionStatus")}),
        **failures(**_EARLIER),
    },
}
MODELS: dict[str, Any] = {
    "security": SECURITY,
    "responses": {"200": ok("All models", **{JSON: _ref("ModelList")}), **failures(**COMMON)},
}
MODEL: dict[str, Any] = {
    "security": SECURITY,
    "parameters": [{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}],
    "responses": {
        "200": ok("The model", **{JSON: _ref("Model")}),
        **failures(_404="No such model", **COMMON),
    },
}
LIVEZ: dict[str, Any] = {"responses": {"200": {"description": "The process runs"}}}
_READINESS: dict[str, Any] = {
    JSON: {
        "schema": {
            "type": "object",
            "properties": {
                "ready": {"type": "boolean"},
                "waiting_for": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["ready", "waiting_for"],
        }
    }
}
READYZ: dict[str, Any] = {
    "responses": {
        "200": ok("Requests are served", **_READINESS),
        "503": ok("Something is being waited for", **_READINESS),
    }
}


def document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of an app."""
    described = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    _, schemas = msgspec.json.schema_components(_STRUCTS, ref_template=_REFS)
    plain = msgspec.json.decode(msgspec.json.encode(schemas))  # defaults are tuples in part
    described["components"] = {
        "schemas": dict(sorted(plain.items())),
        "securitySchemes": {_KEY: {"type": "http", "scheme": "bearer"}},
    }
    return described
