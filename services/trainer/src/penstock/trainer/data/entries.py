"""Facts of reference pages: lists of options, tables, and the line that says what a command is for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from penstock.trainer.data.facts import Fact, lowered
from penstock.trainer.data.pages import Block
from penstock.trainer.data.passages import Passage
from penstock.trainer.data.sentences import LONGEST, answers, content, overlap, sentences
from penstock.trainer.data.verbs import plain, third

_DEFAULT = re.compile(r"^(?P<name>.+?)\s*\(default:\s*(?P<value>[^()]{1,40})\)$")
_SIGNATURE = re.compile(r"^(?:[a-z]+ )?(?P<name>[A-Za-z_][\w.]*)\(.*\)(?:¶|$)")
_MANUAL_PAGE = re.compile(r"^(?P<command>[a-z][\w.+-]*)\(\d\w?\)$")
_BOILERPLATE = ("Return value:", "Part of the Stable ABI", "New in version", "Changed in version")
_LONGEST_TASK = 110
_IS_A_NOUN = re.compile(r"(?:of|is|are|and|or|by|to (?:True|False|None))\b")  # after `name` or `set`, say
_IN_PARENTHESES = re.compile(r" \([^()]*\)$")
_TERM = re.compile(r"^[\w$./:@%+*<>-]+(?: [\w$./:@%+*<>-]+){0,3}$")
_VALUE_OF_OPTION = re.compile(r"\[?=.*$|\s*[<\[({].*$| [A-Za-z_.-]+$")
_NAME_LINE = re.compile(r"^(?P<name>[\w./+-]+(?: [A-Z][\w-]+)*) (?:-|–|—) (?P<what>[A-Za-z].{9,110}?)\.?$")
_CELL = re.compile(r"\s*\|\s*")
_NOUNS = (
    "option command directive function variable parameter setting method field pragma attribute statement "
    "argument module class keyword operator macro program tool file utility tag target script hook header "
    "interface routine clause system"
).split()
_DOING = re.compile(r"[.;:(]| (?:which|where|so that|because|if|when|unless|e\.g\.|i\.e\.)\b")
_SAYS = re.compile(r"^\S+ (?:\S+ ){0,6}?(?:is|are|can|may|must|will|has|was|does|should|causes|specifies)\b")
_VALUES = ("default", "type", "port", "context", "priority", "since", "meaning", "value", "range")


def entry_facts(passage: Passage) -> Iterator[Fact]:
    """Yield the facts of a passage's list entries, its tables and its line with a name and a purpose.

    Tasks that fit another of its entries as well are left out.
    """
    facts = list(_all_facts(passage))
    for fact in facts:
        asked = frozenset(content(fact.slot)) if fact.family in ("which", "howto") else frozenset()
        others = (one.evidence for one in facts if one.name != fact.name)
        if not any(overlap(asked, frozenset(content(evidence))) == 1 for evidence in others):
            yield fact


def _all_facts(passage: Passage) -> Iterator[Fact]:
    for term, meaning in pairwise(passage.blocks):
        if term.kind == "term" and meaning.kind in ("text", "item"):
            yield from _of_entry(term, meaning.text.strip("- "), passage)
    for block in passage.blocks:
        if found := block.kind == "text" and _NAME_LINE.match(block.text):
            yield from named_facts(found["name"], found["what"], "command", block.text)
    yield from _of_table([block for block in passage.blocks if block.kind == "row"], passage)


def named_facts(name: str, what: str, noun: str, evidence: str) -> Iterator[Fact]:
    """Yield the facts of a name and what it does, said in one sentence or in a phrase that begins with a
    verb. Whatever the question, the answer begins with the name.
    """
    answer = f"Use {name}: {lowered(what).rstrip('.')}."
    for doing in tasks(what) if len(answer) <= LONGEST and ":" not in what else ():
        yield Fact("which", doing, answer, evidence, name, noun)
        yield Fact("howto", doing, answer, evidence, name, noun)
        if not answers(what):
            yield Fact("purpose", name, f"{name}: {lowered(what).rstrip('.')}.", evidence, name, noun)


def task(sentence: str) -> str | None:
    """Return `add files to the index` of `Adds files to the index, which …`; None if it says nothing such."""
    first, _, rest = sentence.partition(" ")
    verb = plain(first)
    rest = _DOING.split(rest)[0].rstrip(" ,-–—")
    if verb in (None, "do") or first.endswith("ing") or _IS_A_NOUN.match(rest):
        return None
    if not 6 <= len(rest) <= 90 or len(rest.split()) < 2:
        return None
    return f"{verb} {rest}"


def tasks(sentence: str) -> list[str]:
    """Return what a sentence says to do, shortly; and all of it, if that is more and not too long."""
    short = task(sentence)
    if short is None:
        return []
    whole_of_it = f"{short.split()[0]} {sentence.partition(' ')[2].rstrip('.')}"
    return [short] if short == whole_of_it or len(whole_of_it) > _LONGEST_TASK else [short, whole_of_it]


def whole(name: str, sentence: str) -> str:
    """Return a sentence with its subject: `max_heat limits the heat.` of `Limits the heat.`, and
    `max_heat: limit the heat.` of `Limit the heat.`
    """
    first = sentence.split(maxsplit=1)[0]
    verb = plain(first)
    if verb and first.lower() == third(verb):
        return f"{name} {lowered(sentence)}"
    if re.match(rf"(?:The |An? )?{re.escape(name.removesuffix('()'))}(?!\w)", sentence, re.IGNORECASE):
        return sentence
    if first in ("A", "An") and not _SAYS.search(sentence):
        return f"{name} is {sentence[0].lower()}{sentence[1:]}"
    return f"{name}: {lowered(sentence)}"


def noun_of(name: str, heading: str) -> str:
    """Return what kind of thing a name is, as its form or the heading above it says."""
    if name.startswith("-"):
        return "option"
    if name.endswith("()"):
        return "function"
    words = heading.lower()
    return next((noun for noun in _NOUNS if noun in words), "setting")


def name_of(term: str, full: str = "") -> str | None:
    """Return the name that an entry of a list explains, as it stands there and without its values; None for a
    whole phrase. `full` is the name with all that it belongs to, if that is known.
    """
    if shown := _shown(term, full):
        return shown
    if signature := _SIGNATURE.match(term):
        return signature["name"] + "()"
    if term.startswith("-"):
        spellings = [_VALUE_OF_OPTION.sub("", one.strip()) for one in re.split(r",\s|\s\|\s", term)]
        names = [one for one in spellings if re.fullmatch(r"--?[A-Za-z0-9][\w-]*", one)]
        return max(names, key=len, default=None)
    term = _IN_PARENTHESES.sub("", term).strip("“”\"'` :")
    return term if _TERM.match(term) and 2 < len(term) <= 44 and any(map(str.isalpha, term)) else None


def _shown(term: str, full: str) -> str | None:
    """Return as much of the end of a full name as stands in a term."""
    parts = full.split(".") if full else []
    for name in (".".join(parts[at:]) for at in range(len(parts))):
        if found := re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)(?P<call>\()?", term):
            return f"{name}()" if found["call"] else name
    return None


def _of_entry(term: Block, meaning: str, passage: Passage) -> Iterator[Fact]:
    default = _DEFAULT.match(term.text)
    name = name_of(default["name"] if default else term.text, term.name)
    if name is None:
        return
    noun = _noun_of_entry(name, term, passage)
    if default and default["value"] not in ("empty", 'see "postconf -d" output'):
        answer = f"The default of {name} is {default['value']}."
        yield Fact("value", f"default of {name}", answer, term.text, name, noun)
    told = [one for one in sentences(meaning) if not one.startswith(_BOILERPLATE)]
    if not told or not answers(told[0]):
        return
    answer = whole(name, told[0])
    if len(answer) <= LONGEST:
        yield Fact("purpose", name, answer, told[0], name, noun)
        for slot, known in _with_owner(name, term, passage):
            yield Fact("purpose", slot, answer, told[0], known, noun)
    yield from named_facts(name, told[0], noun, told[0])
    for sentence in told:
        if answers(sentence) and re.match(r"(?:The default|Default|By default|Defaults to)\b", sentence):
            yield Fact("value", f"default of {name}", sentence, sentence, name, noun)


def _noun_of_entry(name: str, term: Block, passage: Passage) -> str:
    opening, owner = term.text.split(maxsplit=1)[0], term.name.split(".")[-2:-1]
    if opening in ("class", "exception"):
        return opening
    if owner and owner[0][0].isupper():
        return "method" if name.endswith("()") else "attribute"
    return noun_of(name, f"{passage.heading} {passage.title}")


def _with_owner(name: str, term: Block, passage: Passage) -> Iterator[tuple[str, str]]:
    """Yield how a thing is called with what it belongs to, and the name by which it is known: the passage
    often has the last part alone.
    """
    if term.name and term.name != name.removesuffix("()"):
        yield term.name, term.name
        of_class = ".".join(term.name.split(".")[-2:])
        if of_class not in (term.name, name.removesuffix("()")):
            yield of_class, of_class
    elif name.startswith("-") and (found := _MANUAL_PAGE.match(passage.title)):
        command = found["command"].replace("git-", "git ", 1)
        yield f"{command} {name}", name
        yield f"{name} of {command}", name


def _of_table(rows: Sequence[Block], passage: Passage) -> Iterator[Fact]:
    cells = [
        _CELL.split(row.text.strip("| "))
        for row in rows
        if not row.text.startswith("| ---") and "|" in row.text
    ]
    cells = [row for row in cells if not row[0].startswith("---")]
    if cells and all(row[0].endswith(":") for row in cells):
        yield from _of_pairs(cells, passage.heading)
    elif len(cells) > 1 and all(cells[0]):
        for row in cells[1:]:
            if len(row) == len(cells[0]):
                yield from _of_row(cells[0], row, passage)


def _of_pairs(cells: Sequence[Sequence[str]], heading: str) -> Iterator[Fact]:
    """A table of `Description: …`, `Default: …` for the thing in the heading."""
    name, _, noun = heading.rpartition(" ")
    if noun.lower() not in _NOUNS or not _TERM.match(name):
        return
    noun = noun.lower()
    for key, value, *_ in (row for row in cells if len(row) > 1):
        word = key.rstrip(":").lower()
        if word == "description":
            yield from named_facts(name, value, noun, value)
        elif word == "default" and len(value) < 60:
            shown = value.removeprefix(name).strip() or value
            yield Fact("value", f"default of {name}", f"The default of {name} is {shown}.", value, name, noun)
        elif word in ("context", "module") and len(value) < 80:
            yield Fact("value", f"{word} of {name}", f"The {word} of {name} is {value}.", value, name, noun)


def _of_row(head: Sequence[str], row: Sequence[str], passage: Passage) -> Iterator[Fact]:
    """A row that explains its first cell."""
    name = name_of(row[0])
    if name is None:
        return
    for title, cell in zip(head[1:], row[1:], strict=True):
        word = title.lower().strip(" .:")
        if answers(cell) and len(sentences(cell)) == 1:
            noun = noun_of(name, f"{head[0]} {passage.heading}")
            yield Fact("purpose", name, whole(name, cell), cell, name, noun)
        elif word in ("description", "purpose", "function") and task(cell) and len(cell) < 120:
            yield from named_facts(name, cell, noun_of(name, f"{head[0]} {passage.heading}"), cell)
        elif word in _VALUES and 0 < len(cell) < 60:
            yield Fact(
                "value", f"{word} of {name}", f"The {word} of {name} is {cell.rstrip('.')}.", cell, name
            )
