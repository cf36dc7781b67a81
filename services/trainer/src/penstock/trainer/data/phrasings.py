"""Forms of question: one fact is asked in many ways, as people do."""

from __future__ import annotations

from random import Random

from penstock.trainer.data.facts import Fact, Family, raised
from penstock.trainer.data.sentences import content
from penstock.trainer.data.verbs import SYNONYMS

# {x} is the fact's slot, {noun} what kind of thing is meant, {product} what the manual is about.
FORMS: dict[Family, tuple[str, ...]] = {
    "which": (
        "Which {noun} does this: {x}?",
        "Which {product} {noun} does this: {x}?",
        "What can I use to {x}?",
        "Which {noun} do I use to {x}?",
        "What is the {noun} to {x}?",
        "I need to {x}. What should I use?",
        "I want to {x}. Which {noun} is there for that?",
        "Is there a {noun} to {x}?",
        "Name the {noun} that can {x}.",
        "With which {product} {noun} can one {x}?",
        "What should be used to {x}?",
        "Which {noun} lets me {x}?",
        "Which {noun} should I call to {x}?",
        "Which {noun} should I use to {x}?",
        "I want to {x}. What is there for that?",
        "I have to {x}. What is there in {product}?",
        "What is there to {x}?",
        "To {x}, what do I need?",
        "What does one use in order to {x}?",
        "If I want to {x}, which {noun} do I take?",
        "{x}: which {noun}?",
        "{noun} to {x}",
    ),
    "howto": (
        "How do I {x}?",
        "How can I {x}?",
        "How does one {x}?",
        "How would you {x} with {product}?",
        "Can you tell me how to {x}, please?",
        "Can you tell me how to {x}?",
        "Could you tell me how I can {x}?",
        "Please explain how to {x}.",
        "I want to {x}. How?",
        "How is it possible to {x}?",
        "To {x}, what do I do?",
        "What is the way to {x}?",
        "I would like to {x}. How do I do that?",
        "I am trying to {x}; how is that done?",
        "What do I have to do to {x}?",
        "Is it possible to {x}, and how?",
        "how to {x}",
    ),
    "purpose": (
        "What does {x} do?",
        "What is {x} for?",
        "What is the purpose of {x}?",
        "What is {x} used for?",
        "What is the effect of {x}?",
        "Can you tell me what {x} does, please?",
        "Explain {x}.",
        "Why would I use {x}?",
        "Describe {x} briefly.",
        "what does {x} do in {product}",
        "What happens when I use {x}?",
        "{x} does what?",
        "What would I use {x} for?",
    ),
    "define": (
        "What {noun} {x}?",
        "Can you tell me what {x} {noun}?",
        "What is meant by {x}?",
        "Please define {x}.",
        "Explain to me what {x} {noun}.",
        "I do not know what {x} {noun}. Can you help?",
        "In {product}, what {noun} {x}?",
    ),
    "value": (
        "What is the {x}?",
        "Please tell me the {x}.",
        "Which value is the {x}?",
        "Do you know the {x}?",
        "I am looking for the {x}.",
    ),
    "yesno": ("{x}", "{x} Yes or no?", "{x} I am not sure.", "{x} Please tell me."),
    "condition": (
        "What happens {x}?",
        "What is the result {x}?",
        "What should I expect {x}?",
        "{x}, what happens?",
        "Can you tell me what happens {x}, please?",
    ),
    "why": ("{x}", "{x} Please explain."),
    "about": (
        "What does the manual say about {x}?",
        "What is said about {x}?",
        "Tell me about {x}.",
        "What should I know about {x}?",
        "What do the documents say about {x}?",
    ),
    "faq": ("{x}", "{x} Thanks."),
    "plain": ("{x}", "{x} Please tell me.", "{x} I could not find it."),
    "everyday": ("{x}", "{x} Please tell me."),
}

AROUND = (
    "Please tell me: {q}",
    "Hi. {q}",
    "Hello, I have a question. {q}",
    "Quick question: {q}",
    "{q} Thanks.",
    "{q} Please answer briefly.",
    "{q} I use {product}.",
    "According to the documents, {low}",
    "I could not find this: {low}",
    "Could you help me? {q}",
)

# How people ask for a thing that they do not know: not all of them know what kind of thing it is.
_KINDS: dict[str, tuple[str, ...]] = {
    "function": ("function", "function or class", "call", "function or method"),
    "method": ("method", "function or class", "function", "method or function"),
    "class": ("class", "function or class", "class or function"),
    "option": ("option", "option", "flag", "option or setting"),
    "directive": ("directive", "directive", "setting"),
    "command": ("command", "command", "command or tool"),
}
# So rarely are the plain forms changed: by words around them, by a verb of the same sense, to bare keywords.
_AROUND, _SYNONYM, _KEYWORDS = 0.18, 0.12, 0.06


def ask(fact: Fact, product: str, random: Random) -> str:
    """Return a question for a fact, in one of its family's forms."""
    slot = _other_verb(fact, random)
    if fact.family not in ("yesno", "why", "faq", "plain", "everyday") and random.random() < _KEYWORDS:
        return _keywords(fact.slot)
    form = random.choice(FORMS[fact.family])
    noun = random.choice(_KINDS.get(fact.noun, (fact.noun or "command",)))
    question = raised(form.format(x=slot, noun=noun, product=product))
    if random.random() < _AROUND:
        low = question[0].lower() + question[1:]
        question = random.choice(AROUND).format(q=question, low=low, product=product)
    return question


def forms() -> int:
    """Return how many forms there are, those of words around a question included."""
    return sum(map(len, FORMS.values())) + len(AROUND) + 1


def _other_verb(fact: Fact, random: Random) -> str:
    verb, _, rest = fact.slot.partition(" ")
    if fact.family in ("which", "howto") and verb in SYNONYMS and random.random() < _SYNONYM:
        return f"{SYNONYMS[verb]} {rest}"
    return fact.slot


def _keywords(slot: str) -> str:
    kept = set(content(slot))
    words = [word for word in slot.split() if set(content(word)) & kept]
    return " ".join(words) or slot
