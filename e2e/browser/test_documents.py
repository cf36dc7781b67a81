"""From a file to the answer that cites it."""

import uuid
from pathlib import Path

from playwright.sync_api import FilePayload, Locator, Page, expect

from e2e.browser.console import Console

CRANE = """# The crane of Veldhaven

The harbour crane of Veldhaven is called Old Marta. It lifts forty tonnes, and it was built in 1911 by the
brothers Oss.

## Who may use it

Old Marta is used by the pilots of the harbour only. A pilot signs the red book before each lift.
"""


def drop(page: Page, zone: Locator, *files: Path) -> None:
    """Drag files over from outside the browser, and let them go."""
    box = zone.bounding_box()
    assert box is not None
    at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
    debugger = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        debugger.send("Input.dispatchDragEvent", {"type": kind, **at, "data": data})
    debugger.detach()


def test_a_dropped_file_becomes_an_answer_whose_citation_opens_the_passage(
    console: Console, tmp_path: Path
) -> None:
    page = console.page
    (tmp_path / "crane.md").write_text(CRANE, encoding="utf-8")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    console.visit("Documents")
    page.get_by_role("button", name="New store").click()
    store = f"Veldhaven {uuid.uuid4().hex}"
    console.panel.get_by_label("Name").fill(store)
    page.keyboard.press("Enter")
    expect(page.get_by_text("No files in this store yet")).to_be_visible()
    drop(page, page.locator(".drop-zone"), tmp_path / "crane.md", tmp_path / "picture.png")
    expect(page.get_by_role("heading", name="2 of 2 files done, 1 failed")).to_be_visible()
    expect(page.locator(".upload", has_text="picture.png").locator(".reason")).not_to_be_empty()
    expect(page.locator(".files tr", has_text="crane.md")).to_contain_text("completed")

    console.visit("Chat")
    console.ready_to_ask()
    stores = page.get_by_label("Vector store")
    stores.select_option(stores.locator("option", has_text=store).get_attribute("value"))
    turn = console.ask("How is the harbour crane of Veldhaven called?")
    turn.end()
    sources = turn.node.get_by_role("region", name="Sources").get_by_role("button")
    expect(sources.first).to_contain_text("Source 1: crane.md")
    quoted = sources.first.locator(".source-quote").inner_text()
    sources.first.click()
    mark = console.panel.locator("mark")
    expect(mark).to_be_in_viewport()
    assert mark.inner_text().split() == quoted.split()
    assert " ".join(quoted.split()) in " ".join(CRANE.split())
    expect(console.panel.locator(".document-text")).to_contain_text("A pilot signs the red book")
    page.keyboard.press("Escape")
    expect(sources.first).to_be_focused()


def test_files_are_searched_and_deleted(console: Console) -> None:
    page = console.page
    console.visit("Documents")
    page.get_by_role("button", name="New store").click()
    console.panel.get_by_label("Name").fill("Search")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No files in this store yet")).to_be_visible()
    page.set_input_files(
        "#files", FilePayload(name="marta.md", mimeType="text/markdown", buffer=CRANE.encode())
    )
    expect(page.get_by_role("heading", name="1 of 1 file done")).to_be_visible()
    page.get_by_label("Search the store").fill("Who signs the red book?")
    page.keyboard.press("Enter")
    found = page.get_by_role("region", name="Search results").get_by_role("button").first
    expect(found).to_contain_text("red book")
    found.click()
    expect(console.panel.locator("mark")).to_contain_text("red book")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Delete marta.md").click()
    console.panel.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No files in this store yet")).to_be_visible()
