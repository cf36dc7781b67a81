"""Bytes to text: byte order marks, UTF-8, what the file says of itself, UTF-16, and at last a guess."""

import codecs

from charset_normalizer import from_bytes

from penstock.ingestion.domain.parsed import ParseFailed

_MARKS = (  # UTF-32 before UTF-16: its mark begins with the other's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE = 64_000


def decode(data: bytes, declared: str = "") -> str:
    """Return the text without a byte order mark; ParseFailed if it is binary or of no known encoding.

    `declared` is the encoding that the file names itself, if it does. A file of mixed encodings, most of it
    UTF-8, has its other lines read as Windows-1252.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _checked(data[len(mark) :].decode(encoding, errors="replace"))
    if b"\x00" in data[:_SAMPLE]:
        try:
            return _checked(data.decode(_utf16(data[:_SAMPLE])))
        except UnicodeDecodeError:  # without a mark it must be right in every character
            raise _binary() from None
    try:
        return _checked(data.decode())
    except UnicodeDecodeError:
        return _checked(_legacy(data, declared))


def _checked(text: str) -> str:
    if "\x00" in text:
        raise _binary()
    return text


def _utf16(sample: bytes) -> str:
    """UTF-16 without a mark: text of the West has its NUL bytes on one side nearly always."""
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if odd > len(sample) // 8 and even * 20 < odd:
        return "utf-16-le"
    if even > len(sample) // 8 and odd * 20 < even:
        return "utf-16-be"
    raise _binary()


def _legacy(data: bytes, declared: str) -> str:
    if _known(declared):
        return data.decode(declared, errors="replace")
    lines = data.splitlines(keepends=True)
    lines = [line for line in lines if not line.isascii()]
    if sum(map(_is_utf8, lines)) * 2 > len(lines):
        return "".join(_line(line) for line in data.splitlines(keepends=True))
    best = from_bytes(b"".join(lines)[:_SAMPLE]).best()
    if best is None:
        raise ParseFailed("invalid_file", "The text's encoding is not recognised. Save the file as UTF-8.")
    return data.decode(best.encoding, errors="replace")


def _known(encoding: str) -> bool:
    """Whether this names an encoding of text other than UTF-8, which was tried before."""
    try:
        name = codecs.lookup(encoding).name if encoding else ""
        b"a".decode(name or "utf-8", errors="replace")  # not all codecs are of text
    except (LookupError, UnicodeError):
        return False
    return name not in ("", "utf-8")


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _line(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("cp1252", errors="replace")


def _binary() -> ParseFailed:
    return ParseFailed(
        "invalid_file", "The file holds binary data, not text. Upload it in a format that holds text."
    )
