"""Choosing what to quote: sentences of the passages themselves, few, and always some."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.messages.chat import Passage
from penstock.postprocessing.domain.quotes import LONGEST, MOST_QUOTES, best_quotes
from penstock.postprocessing.domain.text import sentences


def passage(text: str) -> Passage:
    return Passage(document_id="d", title="T", start=0, end=len(text), text=text, tokens=1)


def quoted(query: str, *texts: str) -> list[str]:
    return [texts[q.number - 1][q.start : q.end] for q in best_quotes(query, [passage(t) for t in texts])]


def test_rare_words_of_the_question_count_more_than_common_ones() -> None:
    text = "The gate opens. The gate closes. The gate has a servomotor."
    assert quoted("Which gate has a servomotor?", text) == ["The gate has a servomotor."]


def test_of_equal_sentences_the_better_passages_is_quoted_and_it_once() -> None:
    assert quoted("What feeds turbines?", "A penstock feeds turbines.", "A penstock feeds turbines.") == [
        "A penstock feeds turbines."
    ]


def test_where_no_word_is_shared_the_best_passage_begins() -> None:
    assert quoted("Qu'est-ce?", "A penstock feeds turbines. It is long.", "Other.") == [
        "A penstock feeds turbines."
    ]


def test_of_an_endless_sentence_the_beginning_is_quoted() -> None:
    [quote] = quoted("dam", "dam water " * 100)
    assert len(quote) <= LONGEST
    assert quote.endswith(("dam", "water"))


texts = st.lists(st.text(alphabet="dam wter.\n", max_size=60), max_size=4)


@given(st.text(alphabet="dam wter", max_size=20), texts)
def test_quotes_are_sentences_of_the_passages_in_their_order(query: str, drawn: list[str]) -> None:
    passages = [passage(text) for text in drawn]
    quotes = best_quotes(query, passages)
    spans = [(n, *span) for n, text in enumerate(drawn, 1) for span in sentences(text)]
    assert [tuple(quote) for quote in quotes] == sorted(tuple(quote) for quote in quotes)
    assert {tuple(quote) for quote in quotes} <= set(spans)
    assert min(1, len(spans)) <= len(quotes) <= MOST_QUOTES
