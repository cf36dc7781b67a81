"""Stop sequences and gathering, over all ways in which text may come in pieces."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.generation.domain.gather import gather
from penstock.generation.domain.stop import StopFilter

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


async def _pieces(
    texts: Sequence[str], pause: float = 0, error: Exception | None = None
) -> AsyncGenerator[str, None]:
    for text in texts:
        await asyncio.sleep(pause)
        yield text
    if error is not None:
        raise error


@given(st.lists(st.text(max_size=3), max_size=20))
async def test_gathering_loses_nothing(texts: list[str]) -> None:
    gathered = [text async for text in gather(_pieces(texts), lambda: 0.001)]
    assert "".join(gathered) == "".join(texts)
    assert all(gathered)


async def test_the_first_text_goes_at_once_and_later_text_is_joined() -> None:
    gathered = [text async for text in gather(_pieces(["a"] * 50, 0.001), lambda: 0.02)]
    assert gathered[0] == "a"
    assert len(gathered) < 25


async def test_an_error_comes_after_all_text() -> None:
    stream = gather(_pieces(["a", "b"], error=KeyError("x")), lambda: 10.0)
    assert await anext(stream) == "a"
    assert await anext(stream) == "b"
    with pytest.raises(KeyError):
        await anext(stream)
