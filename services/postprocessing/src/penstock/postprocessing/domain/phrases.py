"""What is said where no model speaks, in the language of the question."""

from typing import NamedTuple


class Phrases(NamedTuple):
    """`quoted` stands before what the passages say; `not_found` says that they do not hold it."""

    quoted: str
    not_found: str


ENGLISH = Phrases("The documents say:", "The documents do not say.")
_PHRASES = {
    "ar": Phrases("تقول المستندات:", "لا تذكر المستندات ذلك."),
    "cs": Phrases("V dokumentech stojí:", "Dokumenty to neuvádějí."),
    "da": Phrases("I dokumenterne står der:", "Det står ikke i dokumenterne."),
    "de": Phrases("In den Dokumenten steht:", "Das steht nicht in den Dokumenten."),
    "es": Phrases("Los documentos dicen:", "Los documentos no lo dicen."),
    "fi": Phrases("Asiakirjoissa sanotaan:", "Asiakirjat eivät kerro sitä."),
    "fr": Phrases("Les documents disent :", "Les documents ne le disent pas."),
    "it": Phrases("I documenti dicono:", "I documenti non lo dicono."),
    "ja": Phrases("文書には次のように書かれています。", "文書には書かれていません。"),
    "ko": Phrases("문서에는 다음과 같이 적혀 있습니다.", "문서에는 나와 있지 않습니다."),
    "nl": Phrases("In de documenten staat:", "Dat staat niet in de documenten."),
    "no": Phrases("I dokumentene står det:", "Det står ikke i dokumentene."),
    "pl": Phrases("W dokumentach napisano:", "Dokumenty o tym nie mówią."),
    "pt": Phrases("Os documentos dizem:", "Os documentos não o dizem."),
    "ru": Phrases("В документах сказано:", "В документах об этом не сказано."),
    "sv": Phrases("I dokumenten står det:", "Det står inte i dokumenten."),
    "tr": Phrases("Belgelerde şöyle yazıyor:", "Belgelerde bu yazmıyor."),
    "uk": Phrases("У документах сказано:", "У документах про це не сказано."),
    "zh": Phrases("文档中写道：", "文档中没有说明。"),
}

_REFUSALS = frozenset(each.not_found for each in (ENGLISH, *_PHRASES.values()))


def refuses(answer: str) -> bool:
    """Return whether all that a model says is that the documents do not hold it, in our words for that."""
    return answer.strip() in _REFUSALS


def phrases(language: str) -> Phrases:
    """Return the phrases of a language by its two-letter code; English where it is another or unknown."""
    return _PHRASES.get(language, ENGLISH)
