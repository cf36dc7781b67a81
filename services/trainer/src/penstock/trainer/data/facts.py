"""A fact: what can be asked of a passage, and the sentences of it that answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Family = Literal[
    "which",
    "howto",
    "purpose",
    "define",
    "value",
    "yesno",
    "condition",
    "why",
    "about",
    "faq",
    "plain",
    "everyday",
]


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact of one passage.

    `slot` is put into a form of question of its family: `add files to the index`, `the --all option`,
    `default of Timeout`, a whole question for yesno, why, faq, plain and everyday. `answer` is one or two
    sentences without citation, `evidence` are the passage's own words for it. `name` is the thing that the
    fact is about or the answer names, if it has a name; `noun` what kind of thing that is, or `is` and `are`
    for define.
    """

    family: Family
    slot: str
    answer: str
    evidence: str
    name: str = ""
    noun: str = ""


def lowered(text: str) -> str:
    """Return a text with a small first letter, unless its first word is a name or has more capitals."""
    first = text.split(maxsplit=1)[0] if text else ""
    plain = first[1:].islower() or (len(first) == 1 and first in "AI" and first != "I")
    return text[0].lower() + text[1:] if plain and first.rstrip(",.").isalpha() else text


def raised(text: str) -> str:
    """Return a text with a capital first letter; names that begin with a sign or hold one stay."""
    first = text.split(maxsplit=1)[0] if text else ""
    return text[0].upper() + text[1:] if first.rstrip(",.:").isalpha() else text
