"""The pages of one's own site: one page, what it links to, or what a sitemap lists."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from penstock.devstack.crawl.errors import NotFetched, printable
from penstock.devstack.crawl.fetch import Fetched, Fetcher
from penstock.devstack.crawl.frontier import Entry, Frontier, Skipped
from penstock.devstack.crawl.guard import check_url

LIMIT = 1000
AT_ONCE = 4
"""Requests at the same time; all go to one site."""


async def pages(
    fetcher: Fetcher, url: str, limit: int = LIMIT, *, depth: int = 0
) -> AsyncGenerator[Fetched | Skipped, None]:
    """The pages of the sitemap at ``url``, or the page at ``url`` and those up to ``depth`` links away.

    At most ``limit`` pages of one origin are asked for, each once, four at a time, and given in the order in
    which they arrive. Whatever gives no page is Skipped with a reason: nothing raises. Memory is bounded by
    four pages, since a page is fetched only when the one before it was taken. Close the generator
    (``contextlib.aclosing``) before the fetcher if you leave it early.
    """
    first = await _attempt(fetcher, url)
    if isinstance(first, Skipped):
        yield first
        return
    frontier = Frontier(check_url(first.url).origin, limit, depth)
    for item in frontier.start(url, first):
        yield item
    running: dict[asyncio.Task[Fetched | Skipped], Entry] = {}
    try:
        while _fill(running, frontier, fetcher):
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in running if task.done()]:
                entry, answer = running.pop(task), task.result()
                for item in (answer,) if isinstance(answer, Skipped) else frontier.digest(entry, answer):
                    yield item
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    if frontier.has_more:
        yield Skipped(first.url, f"there is more: the crawl ended at its limit of {limit:,} pages")


def _fill(
    running: dict[asyncio.Task[Fetched | Skipped], Entry], frontier: Frontier, fetcher: Fetcher
) -> bool:
    """Starts what may start; False when all is done."""
    while len(running) < AT_ONCE and (entry := frontier.next()):
        running[asyncio.create_task(_attempt(fetcher, entry.url))] = entry
    return bool(running)


async def _attempt(fetcher: Fetcher, url: str) -> Fetched | Skipped:
    try:
        return await fetcher.fetch(url)
    except NotFetched as error:
        return Skipped(printable(url), error.reason)
