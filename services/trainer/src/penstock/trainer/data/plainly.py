"""Questions in plain words of one sentence: who, when, where, what does it, and to what it is done."""

from __future__ import annotations

import re
from collections.abc import Iterator

from penstock.trainer.data.facts import Fact, lowered
from penstock.trainer.data.subjects import SUBJECT, subject
from penstock.trainer.data.verbs import participle, plain, third

_PEOPLE = (
    r"(?:\w+ ){0,2}?(?:maintainer|user|administrator|admin|developer|author|owner|editor|member|programmer|"
    r"reviewer|manager|sponsor|team|committee|submitter|reporter|operator|client|customer|employee|teacher|"
    r"visitor|tenant|buyer|guest|student|person|people|postmaster|superuser|delegate|translator|subscriber)s?"
)
_BE = r"is|are|was|were"
_MODAL = r"can|cannot|may|must|should|will"
_WHO = re.compile(
    rf"^(?:(?:Only )?(?:the|an?|all|each|every|any) |Only )?{_PEOPLE}(?: of the \w+)? "
    rf"(?:(?P<be>{_BE}|has to|have to|has|have)|(?P<modal>{_MODAL})|(?P<verb>[a-z]+)) "
    r"(?P<rest>[a-z][^,;:(]{5,80})\.$",
    re.IGNORECASE,
)
_BY_WHOM = re.compile(
    rf"^{SUBJECT} (?P<be>is|are|must be|should be|can be|may be) (?P<done>\w+(?:ed|en|wn|ne|pt|nt)) by "
    rf"(?:the |an? )?{_PEOPLE}\b.*\.$"
)
_WHEN = r"(?:when|after|before|once|as soon as|whenever|every time|during|at the end of|at the start of)"
_IS_DONE = re.compile(
    rf"^{SUBJECT} (?:(?P<be>{_BE})|(?P<modal>{_MODAL}) be) (?P<done>(?:not )?\w+(?:ed|en|wn|ne|pt|nt))"
    rf"(?P<rest>(?: [^ ,;:(]+){{0,7}}?) {_WHEN} [^;:]+\.$"
)
_DOES = re.compile(rf"^{SUBJECT} (?P<verb>[a-z]+s) (?P<rest>[a-z][^,;:(]{{3,60}}?) {_WHEN} [^;:]+\.$")
_WHERE = re.compile(
    rf"^{SUBJECT} (?P<be>{_BE}) (?P<done>stored|kept|found|located|saved|written|installed|placed|recorded|"
    r"documented|defined|configured|logged|looked up|set|held|listed|put|declared|implemented|searched for) "
    r"(?:in|at|under|on|inside|below)\b[^;:]+\.$"
)
_SUFFERS = re.compile(
    rf"^{SUBJECT} (?P<be>(?:is|are|can|cannot|must|should|may|will)(?: not)?(?: be)?) "
    r"(?P<done>\w+(?:ed|en|wn|ne|pt|nt)) (?P<rest>[a-z][^,;:(]{3,70})\.$"
)
_ACTS = re.compile(
    rf"^{SUBJECT} (?:(?P<no>does not|do not) (?P<base>[a-z]+)|(?P<verb>[a-z]+s)) (?P<rest>[^,;:]{{8,90}})\.$"
)
_POINTS_BACK = ("this", "it", "that", "these", "them", "so", "one")
_NO_OBJECT = re.compile(rf"(?:{_BE}|{_MODAL}|to be|for|of|whose|that|which)\b")
_OBJECT = re.compile(r"^(?:the|an?|any|all|its|only|no|each|every|several|many|both|two|three)\b")


def plain_facts(sentence: str) -> Iterator[Fact]:
    """Yield the questions that a sentence answers by its form; often none."""
    for of_form in (_who, _when, _where, _what):
        for question in of_form(sentence):
            if question.split()[-1] not in _POINTS_BACK:
                yield Fact("plain", f"{question}?", sentence, sentence)


def _who(sentence: str) -> Iterator[str]:
    if found := _WHO.match(sentence):
        if found["modal"]:
            yield f"Who {found['modal']} {found['rest']}"
        elif found["be"]:
            be = {"are": "is", "were": "was", "have": "has"}.get(
                found["be"], found["be"].replace("have", "has")
            )
            yield f"Who {be} {found['rest']}"
        elif verb := plain(found["verb"]):
            yield f"Who {third(verb)} {found['rest']}"
    if (found := _BY_WHOM.match(sentence)) and (x := _named(found)):
        be, _, more = found["be"].partition(" ")
        yield f"Who {be} {x} {f'{more} ' if more else ''}{found['done']} by"


def _when(sentence: str) -> Iterator[str]:
    if (found := _IS_DONE.match(sentence)) and (x := _named(found)):
        done = f"{found['done']}{found['rest']}"
        yield f"When {found['be']} {x} {done}" if found["be"] else f"When {found['modal']} {x} be {done}"
    elif (found := _DOES.match(sentence)) and (x := _named(found)) and (verb := plain(found["verb"])):
        yield f"When does {x} {verb} {found['rest']}"


def _where(sentence: str) -> Iterator[str]:
    if (found := _WHERE.match(sentence)) and (x := _named(found)):
        yield f"Where {found['be']} {x} {found['done']}"
        if found["done"] in ("stored", "kept", "found", "located", "saved", "documented", "listed"):
            yield f"Where do I find {x}"


def _what(sentence: str) -> Iterator[str]:
    """Who or what does it, and to what it is done, in both orders of words."""
    if (found := _SUFFERS.match(sentence)) and subject(found):
        yield f"What {found['be']} {found['done']} {found['rest']}".replace("What are ", "What is ")
    if not (found := _ACTS.match(sentence)) or not (x := _named(found)):
        return
    verb = plain(found["base"] or found["verb"])
    if verb is None or _NO_OBJECT.match(found["rest"]):
        return
    if not found["no"] and not _WHO.match(sentence):
        yield f"What {third(verb)} {found['rest']}"
    if _OBJECT.match(found["rest"]):
        do, no = found["no"].split() if found["no"] else ("does", "")
        yield " ".join(filter(None, (f"What {do} {x}", no, verb)))
        yield " ".join(filter(None, ("What is", no, participle(verb), f"by {x}")))


def _named(found: re.Match[str]) -> str | None:
    """Return the subject as a question has it: `Requests` are no name."""
    x = subject(found)
    if x and not found["article"] and plain(x) == x.lower():
        return None
    return lowered(x) if x and x.endswith("s") and x[1:].islower() else x
