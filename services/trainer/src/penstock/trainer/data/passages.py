"""Pages are cut into passages as ingestion cuts them: whole blocks of one section, small neighbours together,
long ones in parts that overlap.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random

from penstock.trainer.data.pages import Block, Page, Section
from penstock.trainer.data.sentences import sentences

SIZES = (360, 540, 740, 740, 740, 1300)
"""Most characters of a passage, one of these for each page: 740 are about ingestion's 200 tokens of a manual,
the longest is what two neighbours are that retrieval shows as one.
"""
_OVERLAP = 150
_LEAST = 60
# What the prompt's block would change in a passage.
_UNFIT = re.compile(r"<\||\|>|</?passages|</?s>|^\s*\[\d{1,3}\]", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Passage:
    """What a prompt shows: title and innermost heading for its label, and the text; made of these blocks."""

    corpus: str
    page: str
    title: str
    heading: str
    blocks: tuple[Block, ...]
    text: str


def cut(page: Page, random: Random) -> list[Passage]:
    """Return a page's passages in order. Those with signs of the prompt itself are left out."""
    size = random.choice(SIZES)
    found = []
    for section in _grouped(page.sections, size):
        heading = section.headings[-1] if section.headings else ""
        for blocks in _parts(section.blocks, size):
            text = joined(blocks).strip()
            if len(text) >= _LEAST and not _UNFIT.search(text) and _latin(text):
                found.append(Passage(page.corpus, page.name, page.title, heading, tuple(blocks), text))
    return found


def joined(blocks: Sequence[Block]) -> str:
    """Return blocks as text: lines of lists and tables close together, else a blank line between."""
    text = blocks[0].text
    for before, block in pairwise(blocks):
        close = block.kind == before.kind and block.kind in ("item", "row")
        text += ("\n" if close else "\n\n") + block.text
    return text


def _grouped(sections: Sequence[Section], size: int) -> Iterator[Section]:
    """Make small neighbours under one parent one section, under the parent's headings."""
    group: list[Section] = []
    for section in sections:
        if group and not _fits(group, section, size):
            yield _one(group)
            group = []
        group.append(section)
    if group:
        yield _one(group)


def _fits(group: Sequence[Section], section: Section, size: int) -> bool:
    sizes = [len(joined(one.blocks)) for one in (*group, section)]
    return (
        max(sizes) <= size // 2
        and sum(sizes) <= size
        and section.headings[:-1] == group[0].headings[:-1]
        and len(section.headings) == len(group[0].headings)
    )


def _one(group: Sequence[Section]) -> Section:
    if len(group) == 1:
        return group[0]
    return Section(group[0].headings[:-1], tuple(block for section in group for block in section.blocks))


def _parts(blocks: Sequence[Block], size: int) -> Iterator[list[Block]]:
    """Cut a section; each part begins with what ends the one before. No heading is the last of its part, but
    a term may be: what explains it stands in the next part.
    """
    part: list[Block] = []
    for block in _small(blocks, size):
        if part and len(joined([*part, block])) > size:
            held = [part.pop()] if len(part) > 1 and part[-1].kind == "heading" else []
            yield part
            part = held or _tail(part)
            if part and len(joined([*part, block])) > size:
                part = held
        part.append(block)
    if part:
        yield part


def _tail(part: Sequence[Block]) -> list[Block]:
    """Return the last blocks of a part that are short enough to be said again."""
    for at in range(1, len(part)):
        if len(joined(part[at:])) <= _OVERLAP:
            return list(part[at:])
    return []


def _small(blocks: Sequence[Block], size: int) -> Iterator[Block]:
    """Cut blocks that are longer than a passage, between sentences or lines."""
    for block in blocks:
        if len(block.text) <= size:
            yield block
            continue
        lines = block.kind == "code"
        pieces = block.text.splitlines() if lines else sentences(block.text)
        text = ""
        for piece in pieces:
            if text and len(text) + len(piece) > size - 40:
                yield replace(block, text=text)
                text = ""
            text = f"{text}{chr(10) if lines else ' '}{piece}" if text else piece[:size]
        if text:
            yield replace(block, text=text)


def _latin(text: str) -> bool:
    """Return whether a text is mostly of letters that English uses."""
    return sum(letter.isascii() for letter in text) > 0.95 * len(text)
