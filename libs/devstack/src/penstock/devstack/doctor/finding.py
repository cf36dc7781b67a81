"""What a check has found, in words for a user."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from penstock.devstack.plain import plain

Severity = Literal["error", "warning"]

_USER_IN_URL = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_SECRET_NAME = re.compile(r"(KEY|SECRET|PASSWORD|TOKEN)$")
_SHORTEST_SECRET = 6


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong. ``code`` names its kind, as in docs/doctor.md, for programs."""

    code: str
    severity: Severity
    looked_at: str
    wrong: str
    to_do: str


def error(code: str, looked_at: str, wrong: str, to_do: str) -> Finding:
    """Something does not work, or soon will not: act."""
    return Finding(code=code, severity="error", looked_at=looked_at, wrong=wrong, to_do=to_do)


def warning(code: str, looked_at: str, wrong: str, to_do: str) -> Finding:
    """Something works, but perhaps not as it is meant to."""
    return Finding(code=code, severity="warning", looked_at=looked_at, wrong=wrong, to_do=to_do)


def secrets_in(environ: Mapping[str, str], *more: str) -> frozenset[str]:
    """What must never be shown: the values of variables that are named for it, and ``more``."""
    named = {value for name, value in environ.items() if _SECRET_NAME.search(name.upper())}
    return frozenset(text for text in named | set(more) if len(text) >= _SHORTEST_SECRET)


def harmless(text: str, secrets: Iterable[str]) -> str:
    """The text in one line, without secrets, users in URLs, or what could steer a terminal."""
    for secret in secrets:
        text = text.replace(secret, "…")
    return " ".join(plain(_USER_IN_URL.sub("…", text)).split())


def harmless_finding(finding: Finding, secrets: Iterable[str]) -> Finding:
    """The finding with all of its texts made harmless."""
    return msgspec.structs.replace(
        finding,
        looked_at=harmless(finding.looked_at, secrets),
        wrong=harmless(finding.wrong, secrets),
        to_do=harmless(finding.to_do, secrets),
    )
