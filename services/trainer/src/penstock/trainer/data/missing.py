"""Questions that are near the passages and that these do not answer: names that do not exist, values not
given.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

from penstock.trainer.data.facts import Fact

_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[a-z]+")
_MORE_PARTS = "reversed twice fast all async safe lazy later remote quiet nested old inverse deep".split()
_LONGER = 0.5

# What is asked of a named thing, and what a text that could answer that holds.
_ASKED: tuple[tuple[str, str], ...] = (
    ("What is the default of {x}?", r"default|\binitial|unless|otherwise|\bif not\b"),
    ("What is the maximum value of {x}?", r"\bmax|limit|\bat most|up to|large|no more|\d"),
    ("What is the minimum value of {x}?", r"\bmin|at least|small|\d"),
    ("Since which version is there {x}?", r"version|since|introduc|added in|available in|\d\.\d"),
    ("In which version was {x} removed?", r"version|removed|deprecat|\d\.\d"),
    ("Who wrote {x}?", r"author|written|wrote|develop|by [A-Z]"),
    ("Which port does {x} use?", r"\bport\b|\d{2,5}"),
    ("How much memory does {x} need?", r"memory|byte|\bMB|\bKB|\bRAM"),
    ("How long does {x} take?", r"time|second|minute|hour|\bms\b|long|slow|fast|quick"),
    ("In which file is {x} stored?", r"\bfile|path|director|/"),
    ("What does {x} return on failure?", r"return|fail|error|exit|status"),
    ("Which environment variable replaces {x}?", r"environment|variable|\$"),
    ("Which users may change {x}?", r"user|root|permission|privileg|owner|admin"),
    ("Is {x} available on Windows?", r"windows|platform|system|portab"),
)


def invented(name: str, others: Sequence[str], random: Random) -> str | None:
    """Return a name like this one that is none of `others`: a part of it is one of another's, or there is one
    more; None if none is found. Of a name with dots, the last part is another.
    """
    owner, dot, last = name.rpartition(".")
    if dot:
        made = invented(last, [other.rpartition(".")[2] for other in others], random)
        return made and f"{owner}.{made}"
    parts = list(_PART.finditer(name))
    donors = [part for other in random.sample(others, min(12, len(others))) for part in _PART.findall(other)]
    known = {other.lower() for other in others} | {name.lower()}
    for donor in [*donors, *random.sample(_MORE_PARTS, 2)]:
        if not parts or len(donor) < 3:
            continue
        at = random.choice(parts)
        part = donor.upper() if at[0].isupper() and len(at[0]) > 1 else donor.lower()
        part = part.capitalize() if at[0].istitle() else part
        if random.random() < _LONGER and not at[0].istitle():
            made = _with_part(name, part)
        else:
            made = name[: at.start()] + part + name[at.end() :]
        if made.lower() not in known and made[-1] != "-" and len(made) < 48:
            return made
    return None


def _with_part(name: str, part: str) -> str:
    """`close_part()` of `close()`, `--all-part` of `--all`."""
    bare = name.removesuffix("()")
    sign = "-" if "-" in bare else "_"
    return f"{bare}{sign}{part}{name[len(bare) :]}"


def value_not_given(fact: Fact, texts: Sequence[str], random: Random) -> str | None:
    """Return a question about a fact's name that no text has words to answer; None if all have."""
    text = "\n".join(texts)
    asked = [form for form, held in _ASKED if not re.search(held, text, re.IGNORECASE)]
    return random.choice(asked).format(x=fact.slot) if asked else None
