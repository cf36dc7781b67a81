"""What a page of the console must never do: ask another host, break its policy, make an error."""

import re
from urllib.parse import urlsplit

from playwright.sync_api import ConsoleMessage, Error, Page, Request

_LOCAL = ("data", "blob", "about")


class Watch:
    """Notes all that a page asks for and complains of; the browser tells a broken policy as an error."""

    def __init__(self, page: Page, origin: str) -> None:
        self.seen: list[str] = []
        self._host = urlsplit(origin).netloc
        self._borne: re.Pattern[str] | None = None
        page.on("request", self._on_request)
        page.on("console", self._on_console)
        page.on("pageerror", self._on_error)

    def bear(self, pattern: str) -> None:
        """From here on messages that have the pattern count for nothing: the test causes them."""
        self._borne = re.compile(pattern)

    def _on_request(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme not in _LOCAL and url.netloc != self._host:
            self.seen.append(f"asks {request.url}")

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        if self._borne is None or not self._borne.search(message.text):
            self.seen.append(f"{message.type}: {message.text}")

    def _on_error(self, error: Error) -> None:
        self.seen.append(f"uncaught: {error}")
