"""The language of a question, by the real model."""

import pytest

from penstock.postprocessing.adapters.language import LanguageIdentifier

IDENTIFIER = LanguageIdentifier()


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("What does SIGTERM do?", "en"),
        ("Wie lösche ich eine Tabelle?", "de"),
        ("Comment supprimer une table ?", "fr"),
        ("¿Qué es esto?", "es"),
        ("什么是水库？", "zh"),
        ("これは何ですか", "ja"),
        ("Как удалить таблицу?", "ru"),
        ("restore backup", ""),
        ("PENSTOCK_DEADLINE?", ""),
        ("", ""),
        (" \n ", ""),
        ("E" * 100_000, ""),
    ],
)
def test_the_language_of_a_question(question: str, language: str) -> None:
    assert IDENTIFIER.language_of(question) == language
