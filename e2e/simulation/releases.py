"""Releases beside ours: what processes of another version write while a rolling upgrade is under way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

Rewrite: TypeAlias = Callable[[dict[str, Any]], object]
_ADDED = ("answers", "may_quote", "looped", "grounding")
"""Fields with a default that events have gained in this release."""


def _before(body: dict[str, Any]) -> None:
    for name in _ADDED:
        body.pop(name, None)
    if "passages" in body:
        body.pop("query", None)


def _after(body: dict[str, Any]) -> None:
    body["gained"] = {"what": ["no", "reader", "knows"]}


RELEASES: dict[str, Rewrite] = {"before": _before, "after": _after}


def written_by(release: str, value: bytes | None) -> bytes | None:
    """Return the body that a process of a release (a name of RELEASES, or "": ours) writes for this one."""
    if value is None or release not in RELEASES:
        return value
    body = msgspec.json.decode(value)
    RELEASES[release](body)
    return msgspec.json.encode(body)
