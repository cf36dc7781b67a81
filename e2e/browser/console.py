"""The console as its user has it: signed in, asking, reading."""

import re
from dataclasses import dataclass
from typing import Any

import httpx2
from playwright.sync_api import Locator, Page, expect

from e2e.browser.watch import Watch
from e2e.stack import Stack

LONG = "Write a very long story about a dam, a river and the people who live there."
SLOW_MS = 180_000
"""For so long anything may take on a busy machine."""
_WORDS = re.compile(r"\w{3}")


class Turn:
    """A question and its answer on the page."""

    def __init__(self, console: "Console", node: Locator) -> None:
        self.console = console
        self.node = node
        self.answer = node.locator(".answer-body")

    @property
    def request_id(self) -> str:
        """The id in the link to the trace, which is there once the gateway has answered."""
        href: str | None = self.node.get_by_role("link", name="trace").get_attribute("href")
        assert href is not None
        return href.rpartition("/")[2]

    def begin(self) -> None:
        """Wait until some words are there."""
        expect(self.answer).to_contain_text(_WORDS)
        expect(self.node.get_by_text("Waiting for the first word")).to_be_hidden()

    def end(self) -> None:
        """Wait until it is whole, or will not be, and all of it has been rendered."""
        expect(self.answer).to_have_attribute("aria-busy", "false")
        expect(self.answer.locator(".tail")).to_be_empty()

    def copied(self) -> str:
        """Its text, by the button that copies it."""
        self.node.get_by_role("button", name="Copy").click()
        expect(self.console.page.locator("#announcer")).to_have_text("The answer was copied.")
        text: str = self.console.page.evaluate("navigator.clipboard.readText()")
        return text


@dataclass
class Console:
    """One tab."""

    page: Page
    watch: Watch
    stack: Stack

    @property
    def url(self) -> str:
        return self.stack.status.gateway

    def sign_in(self, place: str = "chat") -> None:
        """Sign in by the link that `penstock` prints, and go to a place."""
        self.page.goto(f"{self.url}/#key={self.stack.key}")
        expect(self.page.get_by_role("heading", name="Chat")).to_be_visible()
        if place != "chat":
            self.open(place)

    def open(self, place: str) -> None:
        """Go where an address leads to: what stands after its `#/`."""
        self.page.goto(f"{self.url}/#/{place}")

    def visit(self, page: str) -> None:
        """Go to a page by its link in the navigation."""
        self.page.get_by_role("navigation", name="Pages").get_by_role("link", name=page).click()
        expect(self.page.get_by_role("heading", name=page, level=1)).to_be_visible()

    @property
    def question(self) -> Locator:
        return self.page.get_by_role("textbox", name="Question")

    def ready_to_ask(self) -> None:
        """Wait until the model and the store are known."""
        expect(self.page.get_by_label("Model").locator("option").first).not_to_have_text("…")

    def ask(self, question: str) -> Turn:
        self.ready_to_ask()
        before = self.page.locator(".turn").count()
        self.question.fill(question)
        self.page.get_by_role("button", name="Send").click()
        expect(self.page.locator(".turn")).to_have_count(before + 1)
        return self.last_turn

    @property
    def last_turn(self) -> Turn:
        return Turn(self, self.page.locator(".turn").last)

    @property
    def panel(self) -> Locator:
        """What is open at the side, or the question that is put."""
        return self.page.get_by_role("dialog").last


def kept(stack: Stack, request_id: str) -> str:
    """The text of an answer as the gateway gives it to anybody who asks later."""
    response = httpx2.get(
        f"{stack.status.gateway}/v1/chat/completions/{request_id}",
        headers={"authorization": f"Bearer {stack.key}"},
        timeout=60,
        trust_env=False,
    )
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    text: str = body["choices"][0]["message"]["content"]
    return text
