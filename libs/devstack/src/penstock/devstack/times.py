"""Points in time as a user types them."""

from __future__ import annotations

import re
from datetime import datetime

from penstock.devstack.errors import DevstackError

_AGO = re.compile(r"(\d{1,9})(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_time(text: str, now_ms: int) -> int:
    """Unix milliseconds of ``10m`` (ago), ``2h``, or an ISO 8601 time (local, unless it names its zone)."""
    ago = _AGO.fullmatch(text.strip())
    if ago:
        return max(0, now_ms - int(ago.group(1)) * _SECONDS[ago.group(2)] * 1000)
    try:
        ms = round(datetime.fromisoformat(text.strip()).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise DevstackError(f"Not a time: {text!r} (say 10m, 2h, 3d or 2026-01-31T12:00)") from None
    return max(0, ms)


def show_time(ms: int) -> str:
    """The local time, to the second."""
    try:
        return datetime.fromtimestamp(ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return "?"
