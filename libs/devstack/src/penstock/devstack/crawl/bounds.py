"""How large a body may be, and how much more it may become when it is expanded."""

from __future__ import annotations

from penstock.devstack.crawl.errors import FetchRefused

MAX_BYTES = 20_000_000
MAX_RATIO = 100
"""HTML shrinks to a tenth or a thirtieth; what shrinks more than this was made to."""
_RATIO_FROM = 1_000_000
"""Bytes: a smaller body does no harm, whatever it was packed in."""


def check_size(size: int, packed: int) -> None:
    """FetchRefused if ``size`` bytes, expanded from ``packed``, are too many."""
    if size > MAX_BYTES:
        raise FetchRefused(f"larger than {MAX_BYTES // 1_000_000} MB")
    if size > _RATIO_FROM and size > packed * MAX_RATIO:
        raise FetchRefused(f"it expands to more than {MAX_RATIO} times its size")
