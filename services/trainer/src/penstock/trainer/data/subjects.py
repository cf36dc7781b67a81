"""The subject of a sentence, where it says by itself what is meant."""

from __future__ import annotations

import re

from penstock.trainer.data.facts import lowered

SUBJECT = r"(?P<article>The |A |An )?(?P<x>[A-Za-z`$_<\"“-][\w .'`/$()<>:@*\"“”-]{1,48}?)"
"""A sentence's beginning, up to its verb: an article, and what it stands before."""
_PRODUCTS = frozenset(
    ("Debian", "Git", "Apache", "SQLite", "Django", "Exim", "Postfix", "Unix", "Linux", "Python")
)
NOT_A_SUBJECT = frozenset(
    (
        "it this that these those there if when they we you he she i note see which who what for in on at "
        "by as each all some many most no both one two first second next once after before while since "
        "although however also any every everything nothing another other others such here now then with "
        "without from to of and or but so doing using not even only its their your our his her either "
        "neither usually among normally sometimes often purpose where whose how"
    ).split()
)
# Every page has one; asked without the page's name, the question means nothing.
_ANY = frozenset(
    (
        "name value result argument parameter number list string request key type syntax idea problem "
        "reason first next second third last goal rest answer solution file option command function method "
        "class default format output input difference example data text user"
    ).split()
)
# No subject, but a verb and what follows it: `Parses a string and`.
_BEGINS_TO_TELL = re.compile(r"^[A-Z][a-z]+ (?:a|an|the|for|to|if|whether|all|each|any)\b|.* (?:and|or)$")
_ADVERB = re.compile(r"(?:ly|always|also|now|never|still|just|only)$")
_INSIDE = re.compile(
    r" (?:is|are|which|that|who|was|were|has|have|can|will|and then|if|when|because|you|we|it) "
)


def subject(found: re.Match[str]) -> str | None:
    """Return a sentence's subject as a question has it; None if it names nothing by itself."""
    x = found["x"].strip()
    words = x.split()
    if words[0].lower() in NOT_A_SUBJECT or len(words) > 6 or _INSIDE.search(f" {x} ") or _ADVERB.search(x):
        return None
    if (
        ":" in x
        or words[0].endswith("ing")
        or any(x.count(one) % 2 for one in '"')
        or x.count("(") != x.count(")")
    ):
        return None
    if x.lower() in _ANY or _BEGINS_TO_TELL.match(x):
        return None
    if found["article"]:
        return found["article"].lower() + x
    # `Different sites` is no name, `Debian Policy` is.
    return (
        lowered(x)
        if len(words) > 1 and words[1:] == x.lower().split()[1:] and words[0] not in _PRODUCTS
        else x
    )
