"""What a parser finds in a file: its text, and what stands where in it. Plain data."""

from dataclasses import dataclass
from enum import Enum
from typing import Literal

MAX_HEADINGS = 8
MAX_HEADING_CHARACTERS = 200

FailureCode = Literal["unsupported_file", "invalid_file", "file_too_large", "empty_file"]


class Kind(Enum):
    """What a block is; tables and code are best cut between lines."""

    HEADING = "heading"
    TEXT = "text"
    TABLE = "table"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Block:
    """Characters `start` to `end` of a text, without white space at the sides.

    `headings` are the headings it stands under, outermost first, at most `MAX_HEADINGS`, each cut to
    `MAX_HEADING_CHARACTERS`; a heading's own path ends with itself. The heading that is the document's title
    is left out. `page` counts from 1, where there are pages.
    """

    kind: Kind
    start: int
    end: int
    headings: tuple[str, ...] = ()
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document as it is chunked and cited: every place is one in `text`.

    `text` is the decoded file itself for Markdown, plain text and source code, else what was extracted.
    `blocks` are in order, do not overlap, and leave out nothing but white space. `language` is a two-letter
    code (ISO 639-1), empty where unknown; `pages` is 0 where there are none.
    """

    title: str
    text: str
    blocks: tuple[Block, ...]
    language: str = ""
    pages: int = 0


class ParseFailed(Exception):
    """The file gives no text. `message` tells its owner what to do; nothing of the content is in it."""

    def __init__(self, code: FailureCode, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code: FailureCode = code
        self.message = message
