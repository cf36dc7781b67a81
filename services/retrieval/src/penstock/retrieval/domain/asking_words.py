"""English words that ask, and say nothing of what is asked for."""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


ASKER = _set("i i'm i'd i've i'll you you're you've we we're we'd we've someone somebody me us")
"""Who asks, or is asked."""

_POINTING = _set(
    "this that these those there here it its it's that's there's following my our your he she they"
    " them one anyone anybody people"
)
_GRAMMAR = _set(
    "a an the of in on for to with by from at about into as if so and or but not no yes than then"
    " when while because what which who whom whose where why how whether what's how's where's who's"
    " let's do does did done doing can could would will should may might shall must is are am was were"
    " be been being have has had having don't doesn't didn't can't couldn't isn't aren't won't"
    " wouldn't"
)
_POLITE = _set(
    "please kindly thanks thank cheers hi hello hey dear sorry excuse ok okay well advance regards"
    " appreciated appreciate grateful pardon everyone everybody folks team assistant greetings good"
    " morning afternoon evening day all"
)
_MANNER = _set(
    "just quickly quick briefly brief short simply simple exactly actually really maybe perhaps"
    " possibly also again ever even only currently still kind little best easiest simplest right"
    " correct proper appropriate usual recommended any some every everything each now plz pls thx u ur"
    " suitable"
)
_WANTING = _set(
    "tell tells explain describe define show give know find list need needs needed help want wants"
    " wanted like wish hope looking look search searching searched understand learn see say says said"
    " answer ask asking asks name mention point wonder wondering wondered trying try tried figure use"
    " uses used using call called named get got go going able possible curious interested unsure sure"
    " mind let think remember recall remind happen happens happened question task problem mean means"
    " meant work works supposed asked read according lets allows enables told forgot forget forgotten"
    " write type"
)
GENERIC = _set(
    "way ways thing things method approach approaches tool tools command commands function functions"
    " option options feature features statement statements procedure keyword page pages section"
    " sections chapter part place documentation docs doc manual manuals handbook guide document"
    " documents text passage passages reference information info details detail example examples"
    " sentence sentences word words term terms something anything purpose syntax step steps idea ideas"
    " hint hints clue tip tips advice"
)
"""What an answer may be: a word for any of many."""

POSSIBLE = _set("can could would will should may might must")
CHOOSING = _set("which what")
NAMING = CHOOSING | _set("the a an any some of")
LEADING_ON = _set("to that which for can could would will should does do is one")
"""After a word of NAMING and one that is GENERIC: "the SQL command to …"."""
DETERMINERS = _set("a an the my our your")
DOING = _set("list name call use find search show read point get give answer write type")
EXPLAINING = _set("explain describe define")
SUBJECTS = _WANTING | GENERIC
"""Those that may as well be a part of what is asked for: "list files", "page cache"."""

ASKING = ASKER | _POINTING | _GRAMMAR | _POLITE | _MANNER | SUBJECTS
ENDING = (
    ASKER
    | _POINTING
    | _POLITE
    | _GRAMMAR - {"not"}
    | _set(
        "called named used use mean means work works exactly quickly briefly actually supposed again"
        " right now plz pls thx"
    )
)
"""Those that a question may end with."""
