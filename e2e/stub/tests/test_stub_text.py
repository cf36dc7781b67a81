"""The stub's text: a function of the prompt that goes on exactly from any prefix."""

from itertools import islice
from math import isclose

from hypothesis import example, given
from hypothesis import strategies as st

from e2e.stub.answer import Answer
from e2e.stub.text import chat_prompt, embedding, pieces, words, words_so_far
from e2e.stub.wire import Behaviour, GenerateRequest, Parameters

PROMPTS = st.text(max_size=60)
TURNS = st.lists(st.tuples(st.sampled_from(["user", "system"]), PROMPTS), min_size=1, max_size=3)


def first(prompt: str, tokens: int) -> str:
    return "".join(islice(words(prompt), tokens))


def answer(prompt: str, tokens: int) -> str:
    """The whole text of an answer that ends by itself."""
    return Answer(GenerateRequest(prompt), Behaviour(tokens=tokens)).whole().generated_text


@given(PROMPTS, st.integers(0, 140))
@example("", 1)
@example("ends with a blank ", 3)
@example("ends with a line\n", 0)
def test_text_goes_on_exactly_from_any_prefix(prompt: str, cut: int) -> None:
    whole = first(prompt, 20)
    assert (whole[:cut] + first(prompt + whole[:cut], 21)).startswith(whole)


@given(TURNS, st.data())
def test_an_answer_cut_anywhere_and_continued_is_the_uncut_answer(
    turns: list[tuple[str, str]], data: st.DataObject
) -> None:
    prompt = chat_prompt(turns)
    whole = answer(prompt, 12)
    cut = data.draw(st.integers(0, len(whole)))
    assert whole[:cut] + answer(prompt + whole[:cut], 12) == whole


@given(TURNS, st.integers(1, 30))
def test_tokens_so_far_count_towards_the_length(turns: list[tuple[str, str]], done: int) -> None:
    prompt = chat_prompt(turns)
    assert words_so_far(prompt + first(prompt, done)) == done


def test_other_prompts_give_other_texts_of_the_stated_length() -> None:
    texts = {first(chat_prompt([("user", f"Question {number}")]), 30) for number in range(100)}
    assert len(texts) == 100
    assert {len(text.split()) for text in texts} == {30}
    # Words are drawn from many: one that is lost or doubled cannot go unnoticed.
    drawn = [word for text in texts for word in text.split() if word != "[1]"]
    assert len(set(drawn)) > 0.95 * len(drawn)


def test_answers_hold_citation_markers() -> None:
    text = first(chat_prompt([("user", "Why?")]), 400)
    assert 20 <= text.count("[1]") <= 90


def test_the_reason_says_whether_the_limit_or_the_text_ended_an_answer() -> None:
    prompt = chat_prompt([("user", "Why?")])

    def reason(max_new_tokens: int | None) -> tuple[str, int]:
        asked = GenerateRequest(prompt, Parameters(max_new_tokens=max_new_tokens))
        got = Answer(asked, Behaviour(tokens=5))
        return got.reason, got.count

    assert reason(4) == ("length", 4)
    assert reason(5) == ("length", 5)
    assert reason(6) == ("eos_token", 5)
    assert reason(None) == ("eos_token", 5)


@given(PROMPTS)
def test_pieces_cover_a_text_without_gap_or_overlap(text: str) -> None:
    cut = pieces(text)
    assert "".join(piece.text for piece in cut) == text
    assert [piece.start for piece in cut] == [0, *(piece.stop for piece in cut[:-1])][: len(cut)]
    assert all(text[piece.start : piece.stop] == piece.text for piece in cut)


@given(PROMPTS)
def test_embeddings_are_unit_vectors(text: str) -> None:
    vector = embedding(text)
    assert len(vector) == 384
    assert isclose(sum(number * number for number in vector), 1, abs_tol=1e-9)


def test_texts_that_share_words_lie_nearer() -> None:
    def likeness(one: str, other: str) -> float:
        return sum(a * b for a, b in zip(embedding(one), embedding(other), strict=True))

    question = "what is a dead letter"
    assert (
        likeness(question, "A dead letter is a record that failed") > likeness(question, "warm caches") + 0.2
    )
    assert embedding(question) == embedding("What is a dead letter?")
