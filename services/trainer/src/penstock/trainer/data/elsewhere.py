"""Questions about the rest of the world, which no manual answers."""

from __future__ import annotations

from random import Random

_FILLED: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "What is the capital of {x}?",
        ("France", "Kenya", "Peru", "Norway", "Japan", "Egypt", "Canada", "Vietnam", "Chile", "Austria"),
    ),
    (
        "Who won the {x}?",
        (
            "1998 World Cup",
            "last election in Spain",
            "Tour de France of 2003",
            "Nobel Prize in physics in 1921",
            "chess championship of 1972",
            "Olympic marathon in Tokyo",
        ),
    ),
    (
        "Who wrote {x}?",
        ("Hamlet", "Don Quixote", "The Trial", "War and Peace", "Moby-Dick", "Faust", "The Odyssey"),
    ),
    (
        "How tall is {x}?",
        ("Mount Everest", "the Eiffel Tower", "a giraffe", "the Matterhorn", "the tallest tree"),
    ),
    ("When was {x} born?", ("Mozart", "Marie Curie", "Napoleon", "Ada Lovelace", "Gandhi", "Cleopatra")),
    ("How do I cook {x}?", ("risotto", "an omelette", "rice", "lentil soup", "pancakes", "a turkey")),
    ("What is the boiling point of {x}?", ("ethanol", "water at high altitude", "mercury", "nitrogen")),
    ("How many people live in {x}?", ("Lagos", "Vienna", "New Zealand", "Tokyo", "Brazil")),
    ("What does the word {x} mean in {y}?", ("Haus", "gato", "sol", "fleur", "kirja")),
    (
        "How far is it from {x}?",
        ("Berlin to Rome", "the Earth to the Moon", "Paris to Madrid", "Oslo to Bergen"),
    ),
    ("What is a good remedy for {x}?", ("a cold", "headache", "hiccups", "sunburn", "a cough")),
    ("Which team does {x} play for?", ("Lionel Messi", "the goalkeeper of Sweden", "Megan Rapinoe")),
    ("What is the price of {x}?", ("a litre of milk", "gold today", "a ticket to Lisbon", "a used bicycle")),
    ("Can {x} swim?", ("elephants", "cats", "penguins", "moles", "camels")),
    ("Is {x} poisonous?", ("rhubarb", "the fly agaric", "ivy", "a grass snake")),
    ("What colour is {x}?", ("a ripe quince", "the flag of Estonia", "Mars", "an emerald")),
    (
        "How do I {x}?",
        (
            "change a tyre",
            "tie a bow tie",
            "prune roses",
            "remove a wine stain",
            "train a puppy",
            "knit a scarf",
        ),
    ),
    (
        "Why {x}?",
        ("is the sky blue", "do leaves fall in autumn", "do cats purr", "did Rome fall", "is the sea salty"),
    ),
    (
        "What time does {x}?",
        ("the museum open", "the last train leave", "the sun set in June", "the shop close on Sunday"),
    ),
    (
        "Who is {x}?",
        ("the president of Italy", "your favourite singer", "the mayor of London", "the director of Vertigo"),
    ),
    (
        "Tell me {x}.",
        (
            "a joke",
            "about dinosaurs",
            "about the French Revolution",
            "a story about a fox",
            "about black holes",
        ),
    ),
    (
        "What is {x}?",
        (
            "the meaning of life",
            "photosynthesis",
            "the largest ocean",
            "the weather tomorrow",
            "a haiku",
            "the speed of sound",
        ),
    ),
)
_LANGUAGES = ("German", "Spanish", "French", "Finnish", "Italian")


def elsewhere(random: Random) -> str:
    """Return one of these questions."""
    form, filled = random.choice(_FILLED)
    return form.format(x=random.choice(filled), y=random.choice(_LANGUAGES))


def all_forms() -> int:
    """Return how many different questions there are at least."""
    return sum(len(filled) for _, filled in _FILLED)
