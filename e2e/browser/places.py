"""Every place of the console, and what is there once it has been drawn with something in it."""

from typing import NamedTuple

from playwright.sync_api import expect

from e2e.browser.console import Console


class Place(NamedTuple):
    """`address` stands after `#/`; `content` selects what only real content brings; `opens` a panel."""

    name: str
    address: str
    content: str
    opens: str = ""


# Spans come in batches: the trace's root is the last of its service.
ROOT_SPAN = ".page-requests .span-title:has-text('POST /v1/chat/completions')"


def places(request_id: str) -> tuple[Place, ...]:
    """All of them, with the answer of an id as the example."""
    # A page is known by its class: what the one before has shown may look the same.
    return (
        Place("chat", f"chat/{request_id}", ".page-chat .source"),
        Place("passage", f"chat/{request_id}", "dialog mark", opens=".page-chat .source"),
        Place("chat-empty", "chat", ".page-chat .empty button"),
        Place("requests", "requests", ".page-requests .row-link"),
        Place("request", f"requests/{request_id}", ROOT_SPAN),
        Place("pipeline", "pipeline", ".page-pipeline .data tbody tr"),
        Place("documents", "documents", ".page-documents .files tbody tr"),
        Place("dead-letters", "dead-letters", ".page-dead-letters tbody tr"),
        Place("dead-letter", "dead-letters", "dialog .facts tr", opens=".page-dead-letters tbody th button"),
        Place("usage", "usage", ".page-usage .stack"),
    )


def go(console: Console, place: Place) -> None:
    """Go to a place and wait until it stands still."""
    console.open(place.address)
    if place.opens:
        console.page.locator(place.opens).first.click()
    expect(console.page.locator(place.content).first).to_be_attached()
    expect(console.page.locator(".skeleton")).to_have_count(0)
    console.page.evaluate("Promise.all(document.getAnimations().map((one) => one.finished.catch(() => 0)))")
