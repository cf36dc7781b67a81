"""The OpenAPI document: FastAPI's own, with bodies described from the structs that read and write them."""

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from penstock.gateway.domain import wire
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

CHAT: dict[str, Any] = {
    "security": [{_KEY: []}],
    "requestBody": {"required": True, "content": {JSON: _ref("ChatCompletionRequest")}},
    "responses": {
        "200": _ok(
            "The answer; with `stream: true` as events `data: {ChatCompletionChunk}`, closed by "
            "`data: [DONE]`, or by `data: {ErrorResponse}` if it fails on the way",
            **{JSON: _ref("ChatCompletion"), "text/event-stream": _ref("ChatCompletionChunk")},
        ),
        **_errors(
            _400="A parameter is wrong or not supported; `param` names it",
            _404="No such model",
            _408="The body took too long",
            _413="The body is too large",
            _415="The body is not JSON",
            _429="Too many open requests, or the backends are full",
            _500="The answer failed",
            _504="No answer by the request's deadline",
            **_COMMON,
        ),
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
