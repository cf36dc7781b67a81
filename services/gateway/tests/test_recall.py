"""Requests are read back from the log in few passes, within limits, and once for all who ask."""

import asyncio
import time
from typing import Any

import pytest

from penstock.gateway.readback import NEAR_MS
from penstock.gateway.recall import RecallLimits
from penstock.messages import ids
from penstock.messages.chat import AnswerStarted, AnswerText
from penstock.messages.topics import CHAT_RESPONSES
from penstock.streaming.ports import BrokerError
from services.gateway.tests.test_resume import asked, code, same


async def test_many_that_resume_at_once_cost_few_passes(start_stand: Any, kit: Any) -> None:
    source = kit.log()
    first = await start_stand(source, instance="a")
    second = await start_stand(source, instance="b")
    asking = [asyncio.create_task(first.ask(kit.body(stream=True, user=str(n)))) for n in range(60)]
    causes = [(await first.question()).envelope for _ in asking]
    for cause in causes:
        await first.say(cause, AnswerStarted(model=kit.model), AnswerText(start=0, text=cause.subject[:8]))
    resumed = [asyncio.create_task(second.get(cause.subject, "/stream?starting_after=8")) for cause in causes]
    await second.until(lambda: len(second.gateway.core.following) == len(causes))
    for cause in causes:
        await first.say(cause, AnswerText(start=8, text=cause.subject[8:]), kit.completed(36))
    for cause, response in zip(causes, await asyncio.gather(*resumed), strict=True):
        assert "".join(event.text for event in kit.sse(response.text)) == cause.subject[8:]
    assert (
        second.gateway.core.history.passes < 9 * 30
    )  # eight partitions of questions and one of answers a round
    await asyncio.gather(*asking)
    assert second.gateway.core.recalls._reading.used == 0


async def test_an_answer_that_has_not_begun_is_not_looked_for_in_the_distant_past(
    pair: Any, kit: Any, monkeypatch: Any
) -> None:
    """The question says when it was written. Many wait in the queue when a gateway dies; the log is long."""
    first, second = pair
    original = asyncio.create_task(first.ask(kit.body(stream=True)))
    cause = (await first.question()).envelope
    history, looked = second.gateway.core.history, []
    want = history.want

    def told(wanted: Any) -> None:
        if wanted.partition.topic == CHAT_RESPONSES.name:
            looked.append(ids.created_ms(cause.subject) - wanted.since_ms)
        want(wanted)

    monkeypatch.setattr(history, "want", told)
    again = asyncio.create_task(second.get(cause.subject, "/stream"))
    await second.until(lambda: cause.subject in second.gateway.core.following)
    await first.say(cause, *kit.events("not yet"))
    assert same(await again, await original, kit)
    assert len(looked) == 1
    assert looked[0] <= NEAR_MS


async def test_more_recalls_than_allowed_are_refused(start_stand: Any, monkeypatch: Any) -> None:
    stand = await start_stand(max_recalls=1)
    monkeypatch.setattr(stand.gateway.core.history, "want", lambda _: None)  # it never ends
    waiting = asyncio.create_task(stand.get(ids.new_request_id(1, time.time_ns() // 1_000_000)))
    await stand.until(lambda: stand.gateway.core.recalls._reading.used == 1)
    response = await stand.get(ids.new_request_id(1, time.time_ns() // 1_000_000))
    assert code(response) == (429, "rate_limit_exceeded")
    waiting.cancel()


async def test_recall_goes_on_after_the_log_was_away(pair: Any, kit: Any) -> None:
    first, second = pair
    cause = await asked(first, kit, *kit.events("still here"))
    original = await first.asking
    source, reads = second.source, 0

    class Flaky:
        async def open_reader(self) -> Any:
            reader = await source.open_reader()
            poll = reader.poll

            async def flaky(wait: float) -> Any:
                nonlocal reads
                reads += 1
                if reads in (1, 3):
                    raise BrokerError("away")
                return await poll(wait)

            reader.poll = flaky
            return reader

    second.gateway.core.history._source = Flaky()
    second.gateway.core.history._retry_s = 0.01
    assert same(await second.get(cause.subject, "/stream"), original, kit)
    assert reads > 3


async def test_a_foreign_partition_is_read_only_while_needed(pair: Any, kit: Any, monkeypatch: Any) -> None:
    first, second = pair
    monkeypatch.setattr("penstock.gateway.home.LINGER_S", 0.0)
    monkeypatch.setattr("penstock.gateway.kept_answers.KEPT_S", 0.0)
    cause = await asked(first, kit, *kit.events("x"))
    await first.asking
    home = second.gateway.core.home
    assert home._read == {home._partition}
    await second.get(cause.subject)
    await second.until(lambda: home._read == {home._partition})
    assert len(second.gateway.core.following) == 0
    assert (await second.get(cause.subject)).status_code == 200


@pytest.mark.parametrize("what", ["question", "answer"])
async def test_clients_that_lose_patience_do_not_make_reading_start_over(
    pair: Any, kit: Any, monkeypatch: Any, what: str
) -> None:
    """The log is slow: who comes again finds under way, or ready, what was begun for who has left."""
    first, second = pair
    cause = await asked(first, kit, AnswerStarted(model=kit.model), AnswerText(start=0, text="one "))
    readback, slow = second.gateway.core.recalls._readback, asyncio.Event()
    begun = 0
    read = getattr(readback, what)

    async def slowly(*args: Any) -> Any:
        nonlocal begun
        begun += 1
        await slow.wait()
        return await read(*args)

    monkeypatch.setattr(readback, what, slowly)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await second.get(cause.subject, "/stream")
    slow.set()
    if what == "answer":
        await second.until(lambda: cause.subject in second.gateway.core.following)
    again = asyncio.create_task(second.get(cause.subject, "/stream"))
    await first.say(cause, AnswerText(start=4, text="two"), kit.completed(7))
    assert "".join(event.text for event in kit.sse((await again).text)) == "one two"
    assert begun == 1
    await first.asking


async def test_reading_that_takes_too_long_is_given_up(pair: Any, kit: Any, monkeypatch: Any) -> None:
    first, second = pair
    cause = await asked(first, kit, *kit.events("x"))
    await first.asking
    recalls = second.gateway.core.recalls
    monkeypatch.setattr(recalls, "_limits", RecallLimits(patience_s=0.1))
    monkeypatch.setattr(second.gateway.core.history, "want", lambda _: None)  # it never ends
    assert code(await second.get(cause.subject)) == (503, "not_ready")
    await second.until(lambda: recalls._reading.used == 0)
    monkeypatch.undo()
    assert (await second.get(cause.subject)).status_code == 200
