"""The OpenAPI document: FastAPI's own, with bodies described from the structs that read and write them."""

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from penstock.gateway.domain import wire
from penstock.gateway.domain.asked import MAX_GRACE_S, MAX_KEY
from penstock.messages.event import JSON

ABOUT = (
    "Chat completions in OpenAI's dialect, with cited answers. Every response carries `x-request-id`; "
    "every error has the shape of `ErrorResponse` and says what to do."
)
_REFS = "#/components/schemas/{name}"
_STRUCTS = (
    wire.ChatCompletionRequest,
    wire.ChatCompletion,
    wire.ChatCompletionChunk,
    wire.ChatCompletionStatus,
    wire.Model,
    wire.ModelList,
    wire.ErrorResponse,
)
_KEY = "apiKey"


def _ref(name: str) -> dict[str, Any]:
    return {"schema": {"$ref": _REFS.format(name=name)}}


def _ok(description: str, **content: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": content}


def _errors(**reasons: str) -> dict[str, Any]:
    return {
        status.removeprefix("_"): {"description": reason, "content": {JSON: _ref("ErrorResponse")}}
        for status, reason in reasons.items()
    }


_COMMON = {"_401": "No API key, or a wrong one", "_503": "Not ready: `/readyz` says what is waited for"}


def _parameter(where: str, name: str, description: str, **schema: Any) -> dict[str, Any]:
    return {
        "in": where,
        "name": name,
        "required": where == "path",
        "description": description,
        "schema": {"type": "string", **schema},
    }


_ID = _parameter("path", "id", "`id` of the completion, or its `x-request-id`")
_GRACE = _parameter(
    "header",
    "X-Disconnect-Grace",
    "Seconds for which a client that has gone is waited for before the request is cancelled",
    type="number",
    minimum=0,
    maximum=MAX_GRACE_S,
)
_LAST_EVENT = _parameter(
    "header", "Last-Event-ID", "`id` of the last event that the client has", type="integer", minimum=0
)
_EVENTS = (
    "events `id: N`, `data: {ChatCompletionChunk}`, closed by `data: [DONE]`, or by `data: {ErrorResponse}` "
    "if it fails on the way. Ids are the same at every gateway"
)

CHAT: dict[str, Any] = {
    "security": [{_KEY: []}],
    "parameters": [
        _parameter(
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
        "200": _ok(
            f"The answer; with `stream: true` as {_EVENTS}",
            **{JSON: _ref("ChatCompletion"), "text/event-stream": _ref("ChatCompletionChunk")},
        ),
        **_errors(
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
            **_COMMON,
        ),
    },
}
_EARLIER = {
    "_404": "No such request: never made, expired, or another tenant's",
    "_429": "Too many open requests",
    **_COMMON,
}
RETRIEVE: dict[str, Any] = {
    "security": [{_KEY: []}],
    "parameters": [_ID],
    "responses": {
        "200": _ok("The answer, as the POST gave it", **{JSON: _ref("ChatCompletion")}),
        "202": _ok("It goes on still", **{JSON: _ref("ChatCompletionStatus")}),
        **_errors(_499="It was cancelled", _500="It failed; other codes as of the POST", **_EARLIER),
    },
}
RESUME: dict[str, Any] = {
    "security": [{_KEY: []}],
    "parameters": [
        _ID,
        _parameter(
            "query", "starting_after", "`id` of the last event that the client has", type="integer", minimum=0
        ),
        _parameter("query", "include_usage", "As in `stream_options`", type="boolean", default=False),
        {**_LAST_EVENT, "description": "The same; it goes before `starting_after`"},
        _GRACE,
    ],
    "responses": {
        "200": _ok(f"The {_EVENTS}", **{"text/event-stream": _ref("ChatCompletionChunk")}),
        "204": {"description": "The client has all of it"},
        **_errors(
            _400="No such event",
            _499="It was cancelled before any text",
            _500="It failed before any text; other codes as of the POST",
            **_EARLIER,
        ),
    },
}
CANCEL: dict[str, Any] = {
    "security": [{_KEY: []}],
    "parameters": [_ID],
    "responses": {
        "200": _ok("It had ended before", **{JSON: _ref("ChatCompletionStatus")}),
        "202": _ok("It will be given up", **{JSON: _ref("ChatCompletionStatus")}),
        **_errors(**_EARLIER),
    },
}
MODELS: dict[str, Any] = {
    "security": [{_KEY: []}],
    "responses": {"200": _ok("All models", **{JSON: _ref("ModelList")}), **_errors(**_COMMON)},
}
MODEL: dict[str, Any] = {
    "security": [{_KEY: []}],
    "parameters": [{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}],
    "responses": {
        "200": _ok("The model", **{JSON: _ref("Model")}),
        **_errors(_404="No such model", **_COMMON),
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
        "200": _ok("Requests are served", **_READINESS),
        "503": _ok("Something is being waited for", **_READINESS),
    }
}


def document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of an app."""
    described = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    _, schemas = msgspec.json.schema_components(_STRUCTS, ref_template=_REFS)
    described["components"] = {
        "schemas": dict(sorted(schemas.items())),
        "securitySchemes": {_KEY: {"type": "http", "scheme": "bearer"}},
    }
    return described
