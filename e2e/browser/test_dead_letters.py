"""What could not be handled: looked at, replayed, dropped."""

from playwright.sync_api import expect

from e2e.browser.console import Console
from e2e.browser.records import NO_EVENT, bury

REFUSED = "status of 4"


def test_a_dead_letter_is_inspected_refused_a_replay_and_dropped(console: Console) -> None:
    bury(console.stack, 2)
    page = console.page
    console.visit("Dead letters")
    rows = page.locator("main tbody tr")
    expect(rows.nth(1)).to_contain_text("tokenization")
    before = rows.count()
    name = rows.first.get_by_role("button").first.inner_text()
    rows.first.get_by_role("button", name=name, exact=True).click()
    expect(console.panel).to_contain_text("Headers")
    expect(page.get_by_text(NO_EVENT.decode())).to_have_count(0)
    console.panel.get_by_role("button", name="Show the body").click()
    expect(console.panel.get_by_role("region", name="Body")).to_have_text(NO_EVENT.decode())
    page.keyboard.press("Escape")

    console.watch.bear(REFUSED)
    page.get_by_role("button", name=f"Replay {name}", exact=True).click()
    console.panel.get_by_role("button", name="Replay").click()
    expect(page.get_by_role("heading", name="Replay it all the same?")).to_be_visible()
    console.panel.get_by_role("button", name="Cancel").click()
    expect(page.locator(".outcome")).to_contain_text(name)
    expect(rows).to_have_count(before)

    page.get_by_role("button", name=f"Drop {name}", exact=True).click()
    console.panel.get_by_role("button", name="Cancel").click()
    expect(rows).to_have_count(before)
    last = rows.last.get_by_role("button").first.inner_text()
    page.get_by_role("button", name=f"Drop {last}", exact=True).click()
    console.panel.get_by_role("button", name="Drop").click()
    expect(page.locator(".outcome")).to_contain_text("was dropped")
    expect(page.get_by_role("button", name=f"Drop {last}", exact=True)).to_have_count(0)
    expect(rows).to_have_count(before - 1)
