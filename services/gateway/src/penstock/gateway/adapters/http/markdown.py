"""Markdown of an answer as HTML, for the console."""

import msgspec
from fastapi import FastAPI, Request, Response

from penstock.gateway.adapters.http.body import read_json_body
from penstock.gateway.adapters.http.replies import reply
from penstock.gateway.adapters.http.service import Service
from penstock.gateway.domain import errors
from penstock.gateway.domain.fields import decoded

MAX_TEXT = 256 << 10
"""Bytes of a text in UTF-8."""


class Text(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request."""

    text: str


class Html(msgspec.Struct):
    """The body of a response."""

    html: str


_decoder = msgspec.json.Decoder(Text)


def add_markdown(app: FastAPI) -> None:
    """Add the route to the app."""
    app.add_api_route(
        "/console/api/markdown", render, methods=["POST"], response_class=Response, include_in_schema=False
    )


async def render(request: Request) -> Response:
    """Render a text."""
    service: Service = request.app.state.service
    with service.console_calls.taken():
        text = decoded(await read_json_body(request.scope, request.receive, service), _decoder).text
        if len(text.encode(errors="surrogatepass")) > MAX_TEXT:
            raise errors.too_large(MAX_TEXT)
        return reply(msgspec.json.encode(Html(await service.markdown.html(text))))
