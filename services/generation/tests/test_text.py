"""Stop sequences and gathering, over all ways in which text may come in pieces."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.generation.domain.gather import Piece, Put, gather
from penstock.generation.domain.stop import StopFilter
from penstock.generation.domain.visible import Visible

pieces_of_text = st.lists(st.text(alphabet="abST", max_size=5), max_size=12)
stop_sequences = st.text(alphabet="abST", min_size=1, max_size=4)


def shown_of(pieces: list[str], stop: StopFilter) -> str:
    shown = "".join(stop.push(piece) for piece in pieces)
    return shown + stop.end() if not stop.stopped else shown


@given(pieces_of_text, stop_sequences)
def test_what_is_shown_ends_before_the_stop_sequence(pieces: list[str], sequence: str) -> None:
    whole = "".join(pieces)
    stop = StopFilter([sequence])
    assert shown_of(pieces, stop) == whole.partition(sequence)[0]
    assert stop.stopped == (sequence in whole)


@given(pieces_of_text, st.lists(stop_sequences, max_size=3))
def test_of_several_stop_sequences_none_is_ever_shown(pieces: list[str], sequences: list[str]) -> None:
    shown = shown_of(pieces, StopFilter(sequences))
    assert "".join(pieces).startswith(shown)
    assert not any(sequence in shown for sequence in sequences)


def _pieces(
    texts: Sequence[str], pause: float = 0, error: Exception | None = None
) -> Callable[[Put], Coroutine[None, None, None]]:
    async def source(put: Put) -> None:
        for number, text in enumerate(texts, 1):
            await asyncio.sleep(pause)
            put(Piece(text, number))
        if error is not None:
            raise error

    return source


@given(pieces_of_text, st.lists(stop_sequences, max_size=3))
def test_it_does_not_matter_in_which_pieces_the_text_comes(pieces: list[str], sequences: list[str]) -> None:
    whole, stop, other = "".join(pieces), StopFilter(sequences), StopFilter(sequences)
    assert shown_of(pieces, stop) == shown_of(list(whole), other)
    assert stop.stopped == other.stopped


@given(pieces_of_text, st.lists(stop_sequences, max_size=3))
def test_tokens_count_once_their_last_character_is_visible(pieces: list[str], sequences: list[str]) -> None:
    visible, shown, tokens = Visible(sequences, 5), "", 5
    for number, piece in enumerate(pieces, 1):
        text, tokens = visible.push([piece])
        shown += text
        whole = [n for n in range(1, number + 1) if pieces[n - 1] and len("".join(pieces[:n])) <= len(shown)]
        assert tokens == 5 + max(whole, default=0)
    assert visible.written == 5 + len(pieces)
    assert visible.stopped or len(shown + visible.end().text) == len("".join(pieces))


@given(st.lists(st.text(max_size=3), max_size=20))
async def test_gathering_loses_nothing(texts: list[str]) -> None:
    gathered = [piece async for piece in gather(_pieces(texts))]
    assert "".join(piece.text for piece in gathered) == "".join(texts)
    assert all(piece.text for piece in gathered)
    last = max((number for number, text in enumerate(texts, 1) if text), default=0)
    assert [piece.tokens for piece in gathered[-1:]] == ([last] if last else [])


async def test_text_goes_out_as_it_comes() -> None:
    gathered = [piece.text async for piece in gather(_pieces(["a", "b", "c"], 0.001))]
    assert gathered == ["a", "b", "c"]


async def test_an_end_from_outside_gives_what_has_come_at_once_and_closes_the_source() -> None:
    end, closed = asyncio.Event(), asyncio.Event()

    async def source(put: Put) -> None:
        try:
            put(Piece("a", 1))
            await asyncio.sleep(0)
            put(Piece("b", 2))
            asyncio.get_running_loop().call_soon(end.set)
            await asyncio.sleep(60)
        finally:
            closed.set()

    ending = asyncio.create_task(end.wait())
    async with asyncio.timeout(1):
        gathered = [piece async for piece in gather(source, [ending])]
    assert gathered == [Piece("a", 1), Piece("b", 2)]
    assert closed.is_set()


async def test_an_error_comes_after_all_text() -> None:
    stream = gather(_pieces(["a", "b"], error=KeyError("x")))
    assert await anext(stream) == Piece("a", 1)
    assert await anext(stream) == Piece("b", 2)
    with pytest.raises(KeyError):
        await anext(stream)


async def test_a_source_that_goes_on_writing_does_not_delay_the_end() -> None:
    end = asyncio.get_running_loop().create_future()
    source = _pieces(["a"] * 100_000)
    gathered = 0
    async for piece in gather(source, [end]):
        gathered += len(piece.text)
        if not end.done():
            end.set_result(None)
        await asyncio.sleep(0.001)  # meanwhile more has come
    assert gathered < 10_000
