"""Headers by which a browser keeps pages and data of this gateway apart from what others wrote.

The console's cookie makes this necessary: whatever the gateway sends, a file that somebody uploaded as well,
comes from the console's origin. So only the console's own files may run as a page (Content Security Policy
Level 3), and everything else is sealed.
"""

from collections.abc import Iterable

STATIC = "/console/static/"
TRUSTED_TYPES = "penstock"
"""The one policy through which the console's code may make elements of text (Trusted Types)."""

_PAGE = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        f"trusted-types {TRUSTED_TYPES}",
    )
)
_SEALED = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
_UNUSED = ("camera", "display-capture", "geolocation", "microphone", "midi", "payment", "serial", "usb")

Pairs = list[tuple[bytes, bytes]]
_COMMON = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


def _pairs(**own: str) -> Pairs:
    named = {**_COMMON, **{name.replace("_", "-"): value for name, value in own.items()}}
    return [(name.encode(), value.encode()) for name, value in named.items()]


_OF_PAGES = _pairs(
    content_security_policy=_PAGE,
    cross_origin_opener_policy="same-origin",
    permissions_policy=", ".join(f"{feature}=()" for feature in _UNUSED),
)
_OF_DATA = _pairs(content_security_policy=_SEALED)
_OF_CONSOLE_DATA = _pairs(content_security_policy=_SEALED, cache_control="no-store")


def guarded(path: str, headers: Iterable[tuple[bytes, bytes]]) -> Pairs:
    """Return the headers of a response at a path with those that guard it; a guard replaces its namesake."""
    if path == "/" or path.startswith(STATIC):
        own = _OF_PAGES
    else:
        own = _OF_CONSOLE_DATA if path.startswith("/console/") else _OF_DATA
    names = {name for name, _ in own}
    return [*((name, value) for name, value in headers if name.lower() not in names), *own]
