"""Paths that are passed on to another service."""

from urllib.parse import unquote_to_bytes

_PARTS_OF_A_URL = b"/\\%?#"


def target_of(template: str, raw_path: bytes) -> bytes | None:
    """Return a request's path, percent-encoded as it came, if it is an instance of the template, else None.

    A template's literal segments stand there byte by byte, and each `{parameter}` is one segment: not empty,
    not `.` or `..`, and without anything, however encoded, that somebody behind could read as the border of
    another segment (RFC 3986 section 3.3). So nothing but the template's own place is ever asked for.
    """
    wanted, given = template.encode().split(b"/"), raw_path.split(b"/")
    if len(wanted) != len(given):
        return None
    for expected, segment in zip(wanted, given, strict=True):
        fits = _is_plain(segment) if expected.startswith(b"{") else segment == expected
        if not fits:
            return None
    return raw_path


def _is_plain(segment: bytes) -> bool:
    decoded = unquote_to_bytes(segment)
    return decoded not in (b"", b".", b"..") and all(
        byte > 0x20 and byte != 0x7F and byte not in _PARTS_OF_A_URL for byte in decoded
    )
