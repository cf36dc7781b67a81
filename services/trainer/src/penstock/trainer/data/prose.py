"""Facts of prose: sentences whose pattern says what they answer, and headings over a first sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator

from penstock.trainer.data.entries import task
from penstock.trainer.data.facts import Fact, lowered
from penstock.trainer.data.passages import Passage
from penstock.trainer.data.plainly import plain_facts
from penstock.trainer.data.sentences import LONGEST, answers, content, overlap, sentences, stands_alone
from penstock.trainer.data.subjects import NOT_A_SUBJECT, SUBJECT, subject
from penstock.trainer.data.verbs import gerund, plain

_DEFINE = re.compile(rf"^{SUBJECT} (?P<be>is|are) (?:an?|the|one of|any|what|how|simply|just)\b.{{12,}}$")
_USED = re.compile(
    rf"^{SUBJECT} (?:is used|are used|can be used|may be used|is intended|is provided|is|are)"
    r" (?:(?<!is )(?<!are )to (?P<doing>.{8,})|for (?P<gerund>\w+ing .{6,}))$"
)
_LETS = re.compile(
    rf"^{SUBJECT} (?:allows you to|lets you|makes it possible to|enables you to) (?P<doing>.{{8,}})$"
)
_ACTS = re.compile(
    rf"^{SUBJECT} (?P<verb>specifies|controls|determines|defines|sets|returns|contains|provides|holds|"
    r"enables|disables|"
    r"causes|tells|lists|shows|displays|prints|creates|removes|adds|reads|writes|checks|gives|supports|"
    r"implements|handles|manages|stores|describes|indicates|limits|configures|takes|accepts|requires|runs|"
    r"starts|generates|produces|sends|includes|means|represents|works|consists of|depends on|looks for|"
    r"refers to) .{8,}$"
)
_TO = re.compile(
    r"^(?:In order to|To) (?P<doing>[a-z][^,]{7,90}), (?:you |simply |just |first |please )*(?:can |should "
    r"|must |may |need to |have to |will )?(?:use|run|call|type|set|add|specify|enter|pass|press|create|"
    r"issue|invoke|edit|put|write|start|select|open|install|include|make|the|do|execute|configure)\b"
)
_USE = re.compile(r"^(?:You (?:can|should|may|must) )?[Uu]se (?P<x>[^,]{2,60}?) to (?P<doing>[^,]{8,90})[.,]")
_CAN = re.compile(r"^You (?:can|may) (?P<doing>[a-z][^,]{7,80}?) (?:by \w+ing|with the|using|through)\b")
_VALUE = re.compile(
    r"^(?:The |An? )?(?P<what>(?:default|maximum|minimum|recommended|usual|initial|preferred|optimal)"
    r" [\w ./-]{3,50}?) (?:is|are|defaults to) .{1,}$",
    re.IGNORECASE,
)
_DEFAULTS = re.compile(
    rf"^{SUBJECT} (?:defaults to|has a default(?: value)? of|is set to|is limited to) .{{1,}}$"
)
_CONDITION = re.compile(r"^(?P<word>If|When|Unless|Once) (?P<a>[^,]{10,90}), (?P<b>.{12,})$")
_MODAL = re.compile(
    rf"^{SUBJECT} (?P<aux>can|must|should|may|will|is|are|does|do|has to|cannot)(?P<not> not|n't|n’t)?"
    r" (?P<rest>[a-z][^,;:(]{6,80})[.]$"
)
_BECAUSE = re.compile(
    rf"^{SUBJECT} (?P<be>is|are|can|must|should|cannot) (?P<rest>[^,;:(]{{4,70}}),? because .{{10,}}$"
)
_DEPENDS = re.compile(
    r"\b(?:if|unless|only|except|when|sometimes|might|either|but|often|usually|by default)\b"
)
_GENERIC = re.compile(
    r"^(?:description|options?|notes?|examples?|synopsis|see also|name|summary|usage|introduction|overview|"
    r"details?|arguments?|parameters?|returns?|warnings?|background|general|other|discussion|tips?|"
    r"conclusion|bugs|files|output|"
    r"configuration|commands|features|miscellaneous|footnotes|references|terminology|purpose)\b.{0,12}$",
    re.IGNORECASE,
)


def prose_facts(passage: Passage) -> Iterator[Fact]:
    """Yield the facts of a passage's sentences and headings."""
    for block in passage.blocks:
        if block.kind in ("text", "item"):
            for sentence in sentences(block.text.strip("- ")):
                if answers(sentence) and stands_alone(sentence):
                    yield from sentence_facts(sentence)
    yield from _of_heading(passage)


def sentence_facts(sentence: str) -> Iterator[Fact]:
    """Yield what one sentence answers by its pattern; often nothing."""
    yield from _of_naming(sentence)
    yield from _of_doing(sentence)
    yield from _of_value(sentence)
    yield from _of_condition(sentence)
    yield from _of_modal(sentence)
    yield from plain_facts(sentence)


def _of_naming(sentence: str) -> Iterator[Fact]:
    if (found := _DEFINE.match(sentence)) and (x := subject(found)):
        yield Fact("define", x, sentence, sentence, found["x"], found["be"])
    for pattern in (_USED, _LETS):
        if (found := pattern.match(sentence)) and (x := subject(found)):
            yield Fact("purpose", x, sentence, sentence, found["x"])
            doing = found["doing"] or _plainly(found["gerund"])
            if doing and (done := task(doing)) and _names(found["x"]):
                yield Fact("which", done, sentence, sentence, found["x"], _noun(found["x"]))
                yield Fact("howto", done, sentence, sentence, found["x"])
            return
    if (found := _ACTS.match(sentence)) and (x := subject(found)):
        yield Fact("purpose", x, sentence, sentence, found["x"])


def _of_doing(sentence: str) -> Iterator[Fact]:
    for pattern in (_TO, _USE, _CAN):
        if (found := pattern.match(sentence)) and (done := task(found["doing"])):
            if pattern is _USE and found["x"].lower() in NOT_A_SUBJECT:
                return
            yield Fact("howto", done, sentence, sentence)
            if pattern is _USE and _names(found["x"]):
                yield Fact("which", done, sentence, sentence, found["x"], _noun(found["x"]))
            return


def _of_value(sentence: str) -> Iterator[Fact]:
    if (found := _VALUE.match(sentence)) and " and " not in found["what"]:
        yield Fact("value", lowered(found["what"]), sentence, sentence)
    elif (found := _DEFAULTS.match(sentence)) and (x := subject(found)):
        what = "limit" if "limited to" in sentence else "value" if "set to" in sentence else "default"
        yield Fact("value", f"{what} of {x}", sentence, sentence, found["x"])


def _of_condition(sentence: str) -> Iterator[Fact]:
    found = _CONDITION.match(sentence)
    if found is None or found["a"].count("(") != found["a"].count(")") or "i.e" in found["a"]:
        return
    if found["a"].split()[0].lower() not in NOT_A_SUBJECT - {"you", "no", "all", "any", "i", "using", "set"}:
        yield Fact("condition", f"{found['word'].lower()} {found['a']}", sentence, sentence)


def _of_modal(sentence: str) -> Iterator[Fact]:
    found = _BECAUSE.match(sentence)
    if found and (x := subject(found)):
        be, negated = ("can", " not") if found["be"] == "cannot" else (found["be"], "")
        yield Fact("why", f"Why {be} {x}{negated} {found['rest']}?", sentence, sentence)
        return
    found = _MODAL.match(sentence)
    if found is None or _DEPENDS.search(sentence) or not (x := subject(found)):
        return
    aux, no = found["aux"], bool(found["not"]) or found["aux"] == "cannot"
    if aux in ("is", "are", "does", "do", "has to") and not (no and aux != "has to"):
        return  # said of everything; asked so, the question would be the sentence
    asked = {"cannot": "Can", "may": "Can"}.get(aux, aux.capitalize())
    yield Fact("yesno", f"{asked} {x} {found['rest']}?", f"{'No' if no else 'Yes'}. {sentence}", sentence)


def _of_heading(passage: Passage) -> Iterator[Fact]:
    blocks = passage.blocks
    if len(blocks) < 2 or blocks[0].kind != "heading" or blocks[1].kind != "text":
        return
    heading, told = blocks[0].text.rstrip("."), sentences(blocks[1].text)
    if not answers(told[0]) or not stands_alone(told[0]) or _GENERIC.match(heading) or len(heading) > 90:
        return
    answer = told[0]
    if len(told) > 1 and answers(told[1]) and len(answer) + len(told[1]) < min(LONGEST, 180):
        answer = f"{answer} {told[1]}"
    first, _, rest = heading.partition(" ")
    verb = plain(first)
    if heading.endswith("?"):
        yield Fact("faq", heading, answer, answer)
        return
    shared = overlap(frozenset(content(heading)), frozenset(content(answer)))
    if heading.lower().startswith("how to ") and (done := task(heading[7:])):
        yield Fact("howto", done, answer, answer)
    elif verb and first.lower() == gerund(verb) and rest and shared >= 0.5:
        yield Fact("howto", f"{verb} {lowered(rest)}", answer, answer)
    elif len(heading.split()) <= 7 and len(heading) > 4 and shared:
        yield Fact("about", lowered(heading), answer, answer)


def _names(x: str) -> bool:
    """Return whether a subject has a name in it: a word that is no plain English word."""
    return bool(re.search(r"[-_()$/.`\"“<A-Z0-9]", x[1:])) or x.split()[-1].rstrip("s") in (
        "command",
        "option",
    )


def _noun(x: str) -> str:
    last = x.split()[-1].strip("\"'`”").lower()
    known = (
        "command",
        "option",
        "directive",
        "function",
        "pragma",
        "program",
        "variable",
        "setting",
        "method",
        "file",
    )
    return (
        last
        if last in known
        else "function"
        if x.endswith("()")
        else "option"
        if x.startswith("-")
        else "command"
    )


def _plainly(gerund_phrase: str | None) -> str | None:
    """`adding files` as `add files`."""
    if gerund_phrase is None:
        return None
    first, _, rest = gerund_phrase.partition(" ")
    verb = plain(first)
    return f"{verb} {rest}" if verb else None
