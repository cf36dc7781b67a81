"""Verbs in the forms that manuals use at the beginning of a sentence or heading, and their plain form."""

from __future__ import annotations

from functools import cache

# fmt: off
_PLAIN = (
    "abort accept access activate add adjust allow alter analyze append apply archive assign attach avoid "
    "back begin bind block browse build call cancel change check choose clean clear clone close collect "
    "combine commit compare compile compress compute configure connect control convert copy count create "
    "customize cut debug decode define delete deliver deny describe determine disable disallow discard "
    "display do dump edit enable encode encrypt enforce ensure enter examine exclude execute export extend "
    "extract fetch fill filter find fix force format forward generate get give grant group handle hide "
    "hold identify ignore import include increase index inform initialize insert inspect install invoke "
    "join keep kill limit link list load locate lock log look maintain make manage map mark match measure "
    "merge modify monitor mount move name normalize notify obtain omit open optimize override pack parse "
    "pass pause perform pick place prepare prevent preserve print process produce protect prove provide "
    "prune publish pull purge push put query quit read reapply rebuild receive record recover redirect "
    "reduce refer refresh register reject release reload remove rename render reopen repack repair repeat "
    "replace report request require reset resolve restart restore restrict resume retrieve return reuse "
    "revert review rewrite roll rotate run save scan search see select send separate serve set share show "
    "sign skip solve sort specify split start stash stop store strip submit subscribe summarize support "
    "suppress switch synchronize tag take tell test track transfer translate truncate try tune turn "
    "uninstall unlock unpack unset update upgrade upload use validate verify view visit wait walk watch "
    "work wrap write"
).split()
_DOUBLED = frozenset(
    "begin cut commit debug forget get hit log map omit plan prefer program put quit refer "
    "rewrap run "
    "set ship skip split step stop strip submit swap tag trim unset wrap zip".split()
)
# fmt: on
SYNONYMS = {
    "create": "make",
    "delete": "remove",
    "remove": "delete",
    "show": "display",
    "display": "show",
    "list": "show",
    "modify": "change",
    "change": "modify",
    "print": "show",
    "specify": "set",
    "retrieve": "get",
    "obtain": "get",
    "execute": "run",
    "build": "create",
    "find": "look up",
    "start": "launch",
    "enable": "turn on",
    "disable": "turn off",
    "determine": "find out",
    "prevent": "stop",
}


def plain(word: str) -> str | None:
    """Return the plain form of `Creates`, `Creating` or `Create`; None for what is no verb of the list."""
    return _forms().get(word.lower())


def gerund(verb: str) -> str:
    """Return `creating` of `create`."""
    if verb in _DOUBLED:
        return verb + verb[-1] + "ing"
    return (verb[:-1] if verb.endswith("e") and not verb.endswith(("ee", "oe")) else verb) + "ing"


def third(verb: str) -> str:
    """Return `creates` of `create`."""
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + ("es" if verb.endswith(("s", "x", "z", "ch", "sh", "o")) else "s")


@cache
def _forms() -> dict[str, str]:
    return {form: verb for verb in _PLAIN for form in (verb, third(verb), gerund(verb))}
