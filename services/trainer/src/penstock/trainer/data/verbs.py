"""Verbs in the forms that manuals use at the beginning of a sentence or heading, and their plain form."""

from __future__ import annotations

from functools import cache

# fmt: off
_PLAIN = (
    "abort accept access acquire activate add adjust advance allocate allow alter analyze announce answer "
    "append apply approve archive arrange ask assign attach attend avoid await back begin bind block bring "
    "browse build calculate call cancel cast cause change check choose clean clear clip clone close coerce "
    "collect combine commit compare compile compress compute configure connect construct contain control "
    "convert copy cost count cover create customize cut debug decide decode define delegate delete deliver "
    "deny depend derive describe detach determine disable disallow discard dispatch display divide do draw "
    "drop dump earn edit emit enable encode encrypt enforce ensure enter equal escape evaluate examine "
    "exclude execute expand expect export extend extract fail fall feed fetch fill filter find fix flush "
    "force format forward generate get give grant group hand handle hide hold identify ignore imply import "
    "include increase index indicate inform initialise initialize insert inspect install interpret invoke "
    "issue iterate join keep kill learn lend limit link list load locate lock log look lose lower maintain "
    "make manage manipulate map mark match measure merge modify monitor mount move multiply name need negate "
    "normalise normalize notify obtain offer omit open optimize order override own pack pad parse pass pause "
    "pay perform permit pick place pop prefer prepare prepend preserve prevent print process produce prompt "
    "propagate protect prove provide prune publish pull purge push put query quit raise read reapply rebind "
    "rebuild receive record recover redirect reduce refer reference refresh register reject release reload "
    "remove rename render reopen repack repair repeat replace reply report represent request require reserve "
    "reset resolve respond restart restore restrict resume retrieve return reuse reverse revert review "
    "rewrite roll rotate round run save scale scan schedule search see seek select send separate serve set "
    "share shift show shuffle shut sign signal simulate skip sleep solve sort specify split start stash stop "
    "store strip subclass submit subscribe subtract summarize supply support suppress suspend swap switch "
    "synchronize tag take teach tell terminate test trace track transfer transform translate traverse "
    "trigger truncate try tune turn undo uninstall unlock unpack unregister unset update upgrade upload "
    "use validate verify view visit wait wake walk watch wear work wrap write yield"
).split()
_DOUBLED = frozenset(
    "begin clip cut commit debug drop pad pop forget get hit log map omit plan prefer program put quit refer "
    "rewrap run "
    "set ship shut skip split step stop strip submit swap tag trim unset wrap zip".split()
)
_IRREGULAR = dict(
    pair.split(":")
    for pair in (
        "begin:begun bind:bound bring:brought build:built choose:chosen cost:cost cut:cut do:done draw:drawn "
        "feed:fed find:found forget:forgotten get:got give:given hide:hidden hold:held keep:kept lend:lent "
        "let:let lose:lost make:made pay:paid put:put quit:quit read:read rebuild:rebuilt rewrite:rewritten "
        "run:run see:seen seek:sought send:sent set:set show:shown shut:shut split:split take:taken "
        "teach:taught tell:told think:thought undo:undone unset:unset wake:woken wear:worn write:written"
    ).split()
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


def participle(verb: str) -> str:
    """Return `created` of `create`, `written` of `write`."""
    if verb in _IRREGULAR:
        return _IRREGULAR[verb]
    if verb in _DOUBLED:
        return verb + verb[-1] + "ed"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ied"
    return verb + ("d" if verb.endswith("e") else "ed")


def third(verb: str) -> str:
    """Return `creates` of `create`."""
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + ("es" if verb.endswith(("s", "x", "z", "ch", "sh", "o")) else "s")


@cache
def _forms() -> dict[str, str]:
    return {form: verb for verb in _PLAIN for form in (verb, third(verb), gerund(verb))}
