"""JSON and JSON lines as lines of `path: value`, one paragraph a record."""

import json
import re
from collections.abc import Iterator
from itertools import groupby

from penstock.ingestion.adapters.parsing.builder import Builder, base_name
from penstock.ingestion.adapters.parsing.encoding import decode
from penstock.ingestion.domain.parsed import Kind, Parsed, ParseFailed

MAX_DEPTH = 100

# Configuration files have them though JSON has not. No string goes over a line's end.
_COMMENT_LINE = re.compile(r"^[ \t]*//.*$", re.MULTILINE)


def parse_json(data: bytes, file_name: str) -> Parsed:
    """Return the document: a paragraph for each item of a list, else for each field."""
    value = _load(_COMMENT_LINE.sub("", decode(data)))
    builder = Builder()
    for _, lines in groupby(_lines(value), key=lambda line: line[0]):
        builder.add(Kind.TEXT, "\n".join(text for _, text in lines))
    return builder.finish(file_name, base_name(file_name))


def parse_json_lines(data: bytes, file_name: str) -> Parsed:
    """Return the records, a paragraph each."""
    builder = Builder()
    for number, line in enumerate(decode(data).split("\n"), 1):
        if line.strip():
            value = _load(line, number)
            builder.add(Kind.TEXT, "\n".join(_flat(value, "", 0)))
    return builder.finish(file_name, base_name(file_name))


def _load(text: str, line: int = 0) -> object:
    try:
        value: object = json.loads(text)
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:  # with json.JSONDecodeError: integers of too many digits
        line = line or getattr(error, "lineno", 0)
        where = f" (line {line})" if line else ""
        raise ParseFailed("invalid_file", f"The file is not valid JSON{where}.") from error
    return value


def _lines(value: object) -> Iterator[tuple[int, str]]:
    """The lines of a document, each with the number of the paragraph it belongs to."""
    parts: list[tuple[str, object]] = [("", value)]
    if isinstance(value, dict) and value:
        parts = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list) and value:
        parts = [("", item) for item in value]
    for number, (path, item) in enumerate(parts):
        for line in _flat(item, path, 1):
            yield number, line


def _flat(value: object, path: str, depth: int) -> Iterator[str]:
    if depth > MAX_DEPTH:
        raise _too_deep()
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _flat(item, f"{path}.{key}" if path else str(key), depth + 1)
    elif isinstance(value, list) and value:
        for at, item in enumerate(value):
            yield from _flat(item, f"{path}[{at}]", depth + 1)
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield f"{path}: {text}" if path else text


def _too_deep() -> ParseFailed:
    return ParseFailed("invalid_file", f"The JSON is nested more than {MAX_DEPTH} deep.")
