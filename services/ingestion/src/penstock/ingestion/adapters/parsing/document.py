"""A file to its parsed document: size, parser, language. Runs in the sandbox (`sandbox.py`)."""

from dataclasses import replace
from pathlib import Path

from penstock.ingestion.adapters.parsing.detect import parser_of
from penstock.ingestion.adapters.parsing.language import language_of
from penstock.ingestion.domain.parsed import Parsed, ParseFailed

MAX_BYTES = 50_000_000


def parse_document(path: Path, file_name: str) -> Parsed:
    """Return what stands in the file at `path`, whose owner calls it `file_name`; ParseFailed if nothing."""
    check_size(path)
    data = path.read_bytes()
    if not data.strip():
        raise empty("The file is empty.")
    parsed = parser_of(data, file_name)(data, file_name)
    if not parsed.blocks:
        raise empty(
            "There is no text in the file. If its pages are images, run text recognition (OCR) first."
        )
    return replace(parsed, language=language_of(parsed))


def check_size(path: Path) -> None:
    """ParseFailed for a file of more than `MAX_BYTES`, or of none."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ParseFailed(
            "file_too_large",
            f"The file has more than {MAX_BYTES // 1_000_000} MB. Split it into smaller files.",
        )
    if size == 0:
        raise empty("The file is empty.")


def empty(message: str) -> ParseFailed:
    """Return the failure for a file without text."""
    return ParseFailed("empty_file", message)
