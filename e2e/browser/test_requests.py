"""A long list of requests."""

from playwright.sync_api import expect

from e2e.browser.console import Console
from e2e.browser.records import write_answers

COUNT = 5_000
"""As many as are kept for view."""
JANK_MS = 200
"""A frame of this length is seen as a jerk; on two busy cores half of the frames stay far below."""
MOST_ROWS = 100

# Scrolls as somebody who wants to see the end, and notes what the browser tells of frames and long tasks.
SCROLL = """
async () => {
  const frame = document.querySelector(".request-frame");
  const tasks = [];
  const observer = new PerformanceObserver((list) => {
    tasks.push(...list.getEntries().map((one) => one.duration));
  });
  observer.observe({type: "longtask"});
  const frames = [];
  let rows = 0;
  let last = performance.now();
  for (let still = 0; still < 120; ) {
    const top = frame.scrollTop;
    frame.scrollTop += 900;
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    frames.push(now - last);
    last = now;
    rows = Math.max(rows, document.querySelectorAll(".rows .request-row").length);
    const known = Number(document.querySelector(".request-table").getAttribute("aria-rowcount")) > 0;
    still = frame.scrollTop === top && known ? still + 1 : 0;
  }
  observer.disconnect();
  frames.sort((a, b) => a - b);
  return {rows, count: frames.length, median: frames[frames.length >> 1], tasks};
}
"""


def test_five_thousand_requests_scroll_to_the_last_without_jank(console: Console) -> None:
    write_answers(console.stack, COUNT)
    console.visit("Requests")
    expect(console.page.locator(".row-link").first).to_be_visible()
    seen = console.page.evaluate(SCROLL)
    expect(console.page.get_by_text("5,000 requests", exact=True)).to_be_visible()
    assert seen["rows"] < MOST_ROWS
    assert seen["count"] > COUNT * 40 / 900 / 2
    assert seen["median"] < JANK_MS
    long = [task for task in seen["tasks"] if task > JANK_MS]
    assert len(long) <= seen["count"] / 10, long
    last = console.page.locator(".rows .request-row").last
    expect(last).to_have_attribute("aria-rowindex", str(COUNT + 1))
    expect(last).to_be_in_viewport()

    console.page.get_by_label("failed").check()
    expect(console.page.locator(".rows .state", has_text="completed")).to_have_count(0)
    expect(console.page.locator(".rows .request-row").first).to_contain_text("failed")
    shown = console.page.locator(".row-link").first.get_attribute("title")
    assert shown is not None
    console.page.get_by_label("failed").check()
    console.page.get_by_label("Id").fill(shown)
    expect(console.page.locator(".rows .request-row")).to_have_count(1)
    console.page.locator(".row-link").click()
    expect(console.page.get_by_role("heading", name=shown)).to_be_visible()
    expect(console.page.get_by_role("alert")).to_contain_text("No backend answers.")
