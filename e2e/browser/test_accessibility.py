"""axe-core finds nothing on any page, in both themes, on a phone and on a desk; the keyboard is enough."""

import pytest
from playwright.sync_api import Page, expect

from e2e.browser.axe import violations
from e2e.browser.conftest import Open
from e2e.browser.places import go, places


@pytest.mark.parametrize("size", [(360, 740), (1440, 900)], ids=["phone", "desk"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_violation_on_any_page(
    opened: Open, used: str, theme: str, size: tuple[int, int]
) -> None:
    tab = opened(*size, theme=theme)
    tab.open("")
    expect(tab.page.get_by_label("API key")).to_be_visible()
    found = [("sign-in", one) for one in violations(tab.page)]
    tab.sign_in()
    for place in places(used):
        go(tab, place)
        found += [(place.name, one) for one in violations(tab.page)]
    assert found == []


def test_axe_does_find_what_is_wrong(opened: Open) -> None:
    tab = opened()
    tab.open("")
    expect(tab.page.get_by_label("API key")).to_be_visible()
    tab.page.evaluate("document.querySelector('label[for=key]').remove()")
    assert any(one.startswith("label") for one in violations(tab.page))


@pytest.mark.usefixtures("used")
def test_the_keyboard_alone_signs_in_asks_and_opens_the_request(opened: Open) -> None:
    tab = opened()
    page = tab.page
    tab.open("")
    expect(page.get_by_label("API key")).to_be_focused()
    page.keyboard.type(tab.stack.key)
    page.keyboard.press("Enter")
    expect(tab.question).to_be_focused()
    tab.ready_to_ask()
    page.keyboard.type("What is a penstock?")
    page.keyboard.press("Enter")
    tab.last_turn.end()
    request_id = tab.last_turn.request_id
    tab_to(page, "a[aria-current=page]", backwards=True)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Requests")).to_be_visible()
    expect(page.locator(f".row-link[title='{request_id}']")).to_be_attached()
    tab_to(page, f".row-link[title='{request_id}']")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=request_id)).to_be_visible()
    rows = page.locator(".span-row")
    expect(rows.nth(10)).to_be_attached()
    expect(rows.first).to_contain_text("POST /v1/chat/completions")  # which comes last: all others are in it
    tab_to(page, ".span-row")
    page.keyboard.press("ArrowDown")
    expect(rows.nth(1)).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowLeft")
    expect(rows).to_have_count(1)
    page.keyboard.press("ArrowRight")
    expect(rows.nth(10)).to_be_attached()


def tab_to(page: Page, selector: str, *, backwards: bool = False) -> None:
    """Press Tab until an element has the focus; no page is so long that it takes 200."""
    for _ in range(200):
        if page.evaluate("(wanted) => document.activeElement?.matches(wanted) ?? false", selector):
            return
        page.keyboard.press("Shift+Tab" if backwards else "Tab")
    raise AssertionError(f"the Tab key does not lead to {selector}")
