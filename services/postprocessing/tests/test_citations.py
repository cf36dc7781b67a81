"""Citations: markers name passages, overlap attributes, and quotes are exact."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from penstock.messages.chat import Passage
from penstock.postprocessing.domain.citations import cite
from penstock.postprocessing.domain.text import sentences

KAFKA = (
    "Kafka keeps records in partitions. A consumer group shares the partitions of a topic among its members."
)
CACHE = "The KV cache holds keys and values of earlier tokens. Paged attention splits it into blocks."
DOCUMENT = "Title line\n\n" + KAFKA


def passage(text: str, document_id: str = "doc", start: int = 0) -> Passage:
    return Passage(
        document_id=document_id, title="T", start=start, end=start + len(text), text=text, tokens=20
    )


PASSAGES = [passage(KAFKA, "kafka", start=12), passage(CACHE, "cache")]


def test_a_marker_names_its_passage_and_quotes_the_sentence_that_fits_the_claim() -> None:
    [citation] = cite("A group shares partitions among members [1].", PASSAGES)
    assert (citation.index, citation.document_id) == (1, "kafka")
    assert citation.quote == "A consumer group shares the partitions of a topic among its members."
    assert DOCUMENT[citation.start : citation.end] == citation.quote


def test_a_citation_names_the_file_and_the_place_of_its_passage() -> None:
    placed = structs.replace(
        PASSAGES[0], file_id="file-1", file_name="kafka.pdf", headings=("Design", "Groups"), page=7
    )
    [citation] = cite("Records lie in partitions [1].", [placed])
    assert (citation.file_id, citation.file_name) == ("file-1", "kafka.pdf")
    assert (citation.headings, citation.page) == (("Design", "Groups"), 7)


def test_markers_keep_the_order_of_first_mention_and_may_come_together() -> None:
    citations = cite("Blocks hold the cache [2]. Partitions keep records [1, 2] [1].", PASSAGES)
    assert [c.index for c in citations] == [2, 1]


def test_a_marker_behind_the_full_stop_belongs_to_the_sentence_before() -> None:
    [citation] = cite("Records lie in partitions. [1]", PASSAGES)
    assert citation.quote == "Kafka keeps records in partitions."


def test_markers_that_name_no_passage_are_not_citations() -> None:
    assert cite("See [0], [3], [a] and [999].", PASSAGES) == ()


def test_an_answer_without_markers_is_attributed_by_its_words() -> None:
    [citation] = cite("Paged attention splits the KV cache into blocks of keys and values.", PASSAGES)
    assert citation.document_id == "cache"
    assert citation.quote == "Paged attention splits it into blocks."


def test_an_answer_that_shares_nothing_gets_no_citation() -> None:
    assert cite("Bananas are yellow and grow in warm countries.", PASSAGES) == ()
    assert cite("", PASSAGES) == ()


texts = st.text(alphabet="ab.!? \n[1]2,Kafka partitions", max_size=80)


@given(texts, st.lists(texts.filter(bool), max_size=4), st.integers(0, 50))
def test_every_quote_stands_at_its_place_and_every_index_names_a_passage(
    answer: str, contents: list[str], offset: int
) -> None:
    passages = [passage(text, f"d{i}", offset) for i, text in enumerate(contents)]
    for citation in cite(answer, passages):
        named = passages[citation.index - 1]
        assert citation.document_id == named.document_id
        assert named.text[citation.start - offset : citation.end - offset] == citation.quote
        assert citation.quote


@given(texts)
def test_sentences_lie_in_order_and_hold_all_letters(text: str) -> None:
    spans = list(sentences(text))
    assert all(a < b for a, b in spans)
    assert all(first[1] <= second[0] for first, second in pairwise(spans))
    covered = "".join(text[a:b] for a, b in spans)
    assert sorted(c for c in covered if c.isalpha()) == sorted(c for c in text if c.isalpha())
