"""Why a page was not fetched, in one line that is safe to print."""

from __future__ import annotations

_MAX_LINE = 300


class NotFetched(Exception):
    """Base of the two; ``reason`` is one printable line."""

    def __init__(self, reason: str) -> None:
        self.reason = printable(reason)
        super().__init__(self.reason)


class FetchRefused(NotFetched):
    """A rule of ours, or the site's robots.txt, forbids it; trying again changes nothing."""


class FetchFailed(NotFetched):
    """The network or the server failed. ``status`` is the HTTP status, if there was an answer."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


def printable(text: str) -> str:
    """One line without control characters: servers write parts of it, and a terminal would obey them."""
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(line.split())[:_MAX_LINE]
