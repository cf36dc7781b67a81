"""The accessibility rules of axe-core (https://github.com/dequelabs/axe-core), run on a page as it stands."""

import json
from importlib.resources import files
from typing import Any

from playwright.sync_api import Page

_RUN = "axe.run(document, {resultTypes: ['violations']}).then((found) => JSON.stringify(found.violations))"


def violations(page: Page) -> list[str]:
    """Return what breaks a rule, one line an element.

    The script comes in by the debugger's protocol: the page's own policy lets none in, and is not relaxed.
    """
    script = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
    debugger = page.context.new_cdp_session(page)
    try:
        debugger.send("Runtime.evaluate", {"expression": script})
        answer: dict[str, Any] = debugger.send(
            "Runtime.evaluate", {"expression": _RUN, "awaitPromise": True, "returnByValue": True}
        )
    finally:
        debugger.detach()
    assert "exceptionDetails" not in answer, answer
    return [
        f"{rule['id']}: {node['html'][:200]} {node['failureSummary']}"
        for rule in json.loads(answer["result"]["value"])
        for node in rule["nodes"]
    ]
