"""A real browser before the real stack. Each test has tabs of its own, which are watched."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from e2e.browser.console import SLOW_MS, Console
from e2e.browser.records import bury
from e2e.browser.watch import Watch
from e2e.stack import Stack

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
Open = Callable[..., Console]


@pytest.fixture(scope="session")
def parts(parts: dict[str, str]) -> dict[str, str]:
    """SmolLM2 without the reader's adapter: answers long enough to be broken off."""
    return {"PENSTOCK_MODEL_ADAPTER": "none", **parts}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    assert path, f"no browser is installed ({', '.join(CHROMIUM)}): on Debian, `apt-get install chromium`"
    expect.set_options(timeout=SLOW_MS)
    with sync_playwright() as playwright:
        # Chromium's sandbox does not work for root, as whom containers often run.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser, stack: Stack) -> Iterator[Open]:
    """Opens tabs, each of another user's browser; in the end none of them may have done what none must."""
    with ExitStack() as open_tabs:
        watches: list[Watch] = []

        def open_tab(width: int = 1440, height: int = 900, theme: Any = "light") -> Console:
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
            open_tabs.callback(context.close)
            context.set_default_timeout(SLOW_MS)
            origin = stack.status.gateway
            context.grant_permissions(["clipboard-read", "clipboard-write"], origin=origin)
            page = context.new_page()
            watches.append(Watch(page, origin))
            return Console(page, watches[-1], stack)

        yield open_tab
        assert [seen for watch in watches for seen in watch.seen] == []


@pytest.fixture
def console(opened: Open) -> Console:
    """A tab of somebody who has signed in."""
    tab = opened()
    tab.sign_in()
    return tab


@pytest.fixture(scope="session")
def used(indexed: Stack) -> str:
    """A stack with something on every page: documents, usage, a dead letter, and the answer of this id."""
    response = indexed.post(
        {
            "model": indexed.model,
            "messages": [{"role": "user", "content": "What is a penstock?"}],
            "vector_store_ids": ["vs_default"],
            "temperature": 0,
            "max_tokens": 160,
        }
    )
    assert response.status_code == 200, response.text
    assert response.json()["choices"][0]["message"]["citations"]
    bury(indexed)
    request_id: str = response.headers["x-request-id"]
    return request_id
