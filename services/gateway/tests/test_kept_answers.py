"""How long answers that were read back are kept, and how many."""

import asyncio
from contextlib import ExitStack

import pytest

from penstock.gateway import kept_answers
from penstock.gateway.domain.answer import Answer
from penstock.gateway.kept_answers import KeptAnswers
from penstock.messages.chat import AnswerText


def answer_of(chars: int) -> Answer:
    answer = Answer(max_chars=1000)
    answer.apply(AnswerText(start=0, text="x" * chars))
    return answer


async def test_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_answers, "TICK_S", 0.02)
    monkeypatch.setattr(kept_answers, "MAX_CHARS", 250)
    monkeypatch.setattr(kept_answers, "EMPTY_CHARS", 20)
    kept, gone = KeptAnswers(), []
    for n in range(4):
        hold = ExitStack()
        hold.callback(gone.append, n)
        kept.keep(hold, answer_of(100))
    assert gone == []  # who waited for them comes first
    await asyncio.sleep(0.1)
    assert gone == [0, 1]
    monkeypatch.setattr(kept_answers, "KEPT_S", 0.05)
    await asyncio.sleep(0.1)
    assert (gone, len(kept)) == ([0, 1, 2, 3], 0)


async def test_closing_lets_all_go() -> None:
    kept, gone = KeptAnswers(), []
    hold = ExitStack()
    hold.callback(gone.append, True)
    kept.keep(hold, answer_of(1))
    kept.close()
    assert gone == [True]
