"""Who gets in, and what they see who do not."""

import pytest
from playwright.sync_api import expect

from e2e.browser.conftest import Open
from e2e.browser.console import Console
from e2e.browser.places import places

REFUSED = "status of 401"
"""What the browser itself says of a refusal."""


def test_the_printed_link_signs_in_and_keeps_no_key_in_the_address(console: Console) -> None:
    assert console.stack.key not in console.page.url
    console.page.reload()
    expect(console.question).to_be_visible()
    kept = console.page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert console.stack.key not in kept
    assert "penstock_session" not in kept


def test_the_form_signs_in_and_shows_the_page_that_was_wanted(opened: Open) -> None:
    tab = opened()
    tab.open("documents")
    tab.page.get_by_label("API key").fill(tab.stack.key)
    tab.page.get_by_role("button", name="Sign in").click()
    expect(tab.page.get_by_role("heading", name="Documents")).to_be_visible()


def test_a_wrong_key_is_refused_with_words(opened: Open) -> None:
    tab = opened()
    tab.open("")
    tab.watch.bear(REFUSED)
    for wrong in ("psk-wrong", "psk-" + "x" * 43):
        tab.page.get_by_label("API key").fill(wrong)
        tab.page.get_by_role("button", name="Sign in").click()
        expect(tab.page.get_by_role("alert")).to_contain_text("Incorrect API key")
    tab.page.goto(f"{tab.url}/#key=psk-wrong")
    expect(tab.page.get_by_role("alert")).to_contain_text("Incorrect API key")
    expect(tab.page.get_by_role("navigation")).to_be_hidden()


@pytest.mark.parametrize(
    "name", ["chat", "requests", "request", "pipeline", "documents", "dead-letters", "usage"]
)
def test_without_signing_in_no_page_shows_anything(opened: Open, used: str, name: str) -> None:
    tab = opened()
    [place] = [one for one in places(used) if one.name == name]
    tab.open(place.address)
    expect(tab.page.get_by_label("API key")).to_be_visible()
    expect(tab.page.get_by_role("navigation")).to_be_hidden()
    assert tab.page.locator(place.content).count() == 0


def test_after_signing_out_nothing_is_left(console: Console, used: str) -> None:
    console.ask("What is a penstock?").end()
    console.page.get_by_role("button", name="Sign out").click()
    expect(console.page.get_by_label("API key")).to_be_visible()
    console.page.go_back()
    console.open(f"chat/{used}")
    expect(console.page.get_by_label("API key")).to_be_visible()
    assert console.page.evaluate("sessionStorage.getItem('penstock.conversation')") is None
    assert console.page.context.cookies() == []
