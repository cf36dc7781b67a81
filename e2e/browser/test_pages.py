"""What each page shows of a stack that has done something."""

import re

import pytest
from playwright.sync_api import expect

from e2e.browser.conftest import Open
from e2e.browser.console import Console
from e2e.browser.places import go, places

TOPICS = ("chat.requests", "chat.tokenized", "chat.retrieved", "chat.generated", "chat.responses")
SERVICES = ("gateway", "tokenization", "retrieval", "generation", "postprocessing", "inference")


def test_one_click_leads_from_an_answer_to_its_trace_through_everything(console: Console, used: str) -> None:
    console.open(f"chat/{used}")
    console.last_turn.end()
    console.page.get_by_role("link", name="trace").click()
    expect(console.page.get_by_role("heading", name=used)).to_be_visible()
    spans = console.page.get_by_role("treegrid", name="Spans", exact=True)
    for name in ("POST /v1/chat/completions", f"chat {console.stack.model}", "decode"):
        expect(spans.get_by_text(name, exact=True)).to_be_visible()
    for topic in TOPICS:
        expect(spans.get_by_text(f"send {topic}", exact=True).first).to_be_visible()
    for topic in TOPICS[:-1]:  # the gateway follows many answers at once: of one it has no span that waits
        expect(spans.get_by_text(f"wait {topic}", exact=True).first).to_be_visible()
    for service in SERVICES:
        expect(spans.locator(".span-service", has_text=re.compile(rf"^{service}$")).first).to_be_visible()
    records = console.page.locator(".records")
    for topic in TOPICS:
        expect(records.get_by_text(topic, exact=True).first).to_be_visible()


def test_a_request_in_the_list_opens_and_has_its_numbers(console: Console, used: str) -> None:
    console.visit("Requests")
    table = console.page.get_by_role("table", name="Requests")
    row = table.locator(".request-row").filter(has=console.page.locator(f".row-link[title='{used}']"))
    expect(row).to_contain_text("completed")
    expect(row).to_contain_text(console.stack.model.split("/")[-1])
    console.page.set_viewport_size({"width": 1280, "height": 800})
    tokens = row.get_by_role("cell").last
    expect(tokens).to_have_text(re.compile(r"^\d+ → \d+$"))
    expect(tokens).to_be_in_viewport(ratio=1)
    row.locator(".row-link").click()
    expect(console.page.get_by_role("heading", name=used)).to_be_visible()
    figures = console.page.locator(".figures")
    expect(figures).to_contain_text(re.compile(r"Tokens written\s*\d"))


def test_a_new_request_comes_to_the_top_of_the_list_by_itself(console: Console, used: str) -> None:
    console.visit("Requests")
    expect(console.page.get_by_role("status").filter(has_text="Live")).to_be_visible()
    expect(console.page.locator(f".row-link[title='{used}']")).to_be_attached()
    response = console.stack.post(
        {"model": console.stack.model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
    )
    row = console.page.locator(".rows .request-row").first
    expect(row.locator(".row-link")).to_have_attribute("title", response.headers["x-request-id"])
    expect(row).to_contain_text("completed")


@pytest.mark.usefixtures("used")
def test_the_pipeline_shows_services_topics_and_backends(console: Console) -> None:
    console.visit("Pipeline")
    for name in ("Services", "Backends", "Topics"):
        expect(console.page.get_by_role("region", name=name).locator("tbody tr").first).to_be_visible()
    services = console.page.get_by_role("region", name="Services")
    for service in ("tokenization", "retrieval", "generation", "postprocessing"):
        expect(services.locator("tr", has_text=service).first).to_contain_text("ready")
    topics = console.page.get_by_role("region", name="Topics")
    for topic in TOPICS:
        expect(topics.get_by_role("rowheader", name=topic, exact=True)).to_be_visible()
    expect(console.page.locator(".verdict")).not_to_have_text("Looking at the pipeline…")
    expect(console.page.get_by_role("status").filter(has_text="Live")).to_be_visible()


@pytest.mark.usefixtures("used")
def test_usage_has_the_tokens_of_the_model(console: Console) -> None:
    console.visit("Usage")
    expect(console.page.get_by_role("img", name=re.compile("tokens by model"))).to_be_visible()
    legend = console.page.locator(".legend")
    expect(legend).to_contain_text(re.compile(rf"{re.escape(console.stack.model)}\s*[1-9]"))
    console.page.get_by_role("combobox", name="By").select_option("key")
    expect(legend).to_contain_text(console.stack.key[:10])
    console.page.get_by_text("The same as a table").click()
    expect(console.page.get_by_role("region", name=re.compile("Table of tokens"))).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_is_wider_than_a_small_phone(opened: Open, used: str, theme: str) -> None:
    tab = opened(width=360, height=740, theme=theme)
    tab.sign_in()
    too_wide = []
    for place in places(used):
        go(tab, place)
        over = tab.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        if over > 0:
            too_wide.append((place.name, over))
    assert too_wide == []


def test_a_theme_that_is_chosen_stays(console: Console) -> None:
    body = "getComputedStyle(document.body).backgroundColor"
    light = console.page.evaluate(body)
    console.page.get_by_role("button", name="Theme: system").click()
    console.page.get_by_role("button", name="Theme: light").click()
    expect(console.page.get_by_role("button", name="Theme: dark")).to_be_visible()
    console.page.reload()
    expect(console.page.get_by_role("button", name="Theme: dark")).to_be_visible()
    assert console.page.evaluate(body) != light
