"""An answer arrives whole, whatever happens in the middle of it."""

import pytest
from playwright.sync_api import expect

from e2e.browser.conftest import Open
from e2e.browser.console import LONG, Console, Turn, kept
from e2e.browser.processes import frozen, kill
from e2e.browser.records import write_answer

BROKEN = "Failed to load resource|net::ERR_"
"""What the browser itself says of a gateway that is away for a moment."""


def is_whole(opened: Open, turn: Turn) -> None:
    """Check that the text is what is kept, byte for byte, and shown as to one who reads it afterwards."""
    turn.end()
    expect(turn.node.get_by_role("button", name="Ask again")).to_have_count(0)
    text = kept(turn.console.stack, turn.request_id)
    assert turn.copied().encode() == text.encode()
    other = opened()
    other.sign_in(f"chat/{turn.request_id}")
    other.last_turn.end()
    expect(turn.answer).to_have_text(other.last_turn.answer.inner_text(), use_inner_text=True)


def in_the_middle(turn: Turn) -> None:
    expect(turn.answer).to_have_attribute("aria-busy", "true")


def test_an_answer_streams_and_says_how_fast_it_was(console: Console, opened: Open) -> None:
    turn = console.ask(LONG)
    turn.begin()
    in_the_middle(turn)
    expect(turn.node.locator(".turn-foot")).to_contain_text("first token")
    is_whole(opened, turn)
    expect(turn.node.locator(".turn-foot")).to_contain_text("tokens/s")


def test_a_reload_in_mid_answer_loses_nothing(console: Console, opened: Open) -> None:
    turn = console.ask(LONG)
    turn.begin()
    with frozen(console.stack, "inference"):
        in_the_middle(turn)
        console.page.reload()
        again = console.last_turn
        again.begin()
        in_the_middle(again)
    is_whole(opened, again)
    expect(console.page.locator(".turn")).to_have_count(1)


@pytest.mark.parametrize("service", ["generation", "inference"])
def test_whichever_is_killed_in_mid_answer_nothing_is_lost(
    console: Console, opened: Open, service: str
) -> None:
    turn = console.ask(LONG)
    turn.begin()
    with frozen(console.stack, "inference"):
        in_the_middle(turn)
        kill(console.stack, service)
    is_whole(opened, turn)


def test_the_gateway_killed_in_mid_answer_loses_nothing(console: Console, opened: Open) -> None:
    turn = console.ask(LONG)
    turn.begin()
    console.watch.bear(BROKEN)
    with frozen(console.stack, "inference"):
        in_the_middle(turn)
        kill(console.stack, "gateway")
    turn.end()
    is_whole(opened, turn)


def test_stop_ends_an_answer_and_keeps_what_was_written(console: Console) -> None:
    turn = console.ask(LONG)
    turn.begin()
    with frozen(console.stack, "inference"):
        in_the_middle(turn)
        console.page.get_by_role("button", name="Stop").click()
        expect(turn.node.get_by_role("alert")).to_contain_text("Stopped. What was written stays.")
    turn.end()
    text = turn.copied()
    assert text.strip()
    console.page.reload()
    assert console.last_turn.copied() == text
    expect(console.page.get_by_role("button", name="Send")).to_be_visible()


def test_a_new_conversation_begins_empty_and_the_old_answer_stays_in_the_log(console: Console) -> None:
    turn = console.ask("What is a penstock?")
    turn.end()
    request_id = turn.request_id
    console.page.get_by_role("button", name="New conversation").click()
    expect(console.page.locator(".turn")).to_have_count(0)
    console.open(f"chat/{request_id}")
    expect(console.last_turn.answer).to_contain_text(kept(console.stack, request_id)[:20])


def test_hostile_markdown_does_nothing(console: Console) -> None:
    take = "document.title = 'taken'"
    request_id = write_answer(
        console.stack,
        f"""**bold** <script>{take}</script><img src=x onerror="{take}">

[go](javascript:{take}) ![far](https://example.org/far.png)

<iframe src=https://example.org></iframe><svg onload="{take}"></svg><style>body {{ display: none }}</style>
<form action=https://example.org><input name=x></form><a href="javascript:{take}" onclick="{take}">away</a>
""",
    )
    console.open(f"chat/{request_id}")
    turn = console.last_turn
    turn.end()
    expect(turn.answer.locator("strong")).to_have_text("bold")
    expect(turn.answer.locator("script, iframe, svg, style, form, input, img")).to_have_count(0)
    expect(turn.answer.locator("[onerror], [onload], [onclick], [href^='javascript:']")).to_have_count(0)
    expect(console.page).to_have_title("Chat · Penstock")


def test_what_breaks_the_policy_would_be_seen(console: Console) -> None:
    console.page.evaluate(
        "document.body.append(Object.assign(new Image(), {src: 'https://example.org/x.png'}))"
    )
    expect(console.page.locator("body > img")).to_be_attached()
    console.page.wait_for_timeout(500)
    assert any("Content Security Policy" in one for one in console.watch.seen)
    console.watch.seen.clear()
