"""The list of requests, from the records of the line."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.messages.chat import EpochStarted, GenerationFinished
from penstock.messages.topics import CHAT_GENERATED
from penstock.observer.domain.board import LINE, Board, Wish
from penstock.observer.domain.requests import Failure, Request
from penstock.observer.domain.viewer import Viewer
from penstock.streaming.adapters.memory import MemoryBroker
from penstock.streaming.ports import Record
from services.observer.tests.stand import CONTENT, USAGE, Line

EVERYONE = Viewer("", operator=True)
TRACE = f"00-{'ab' * 16}-{'cd' * 8}-01"


def records(broker: MemoryBroker) -> list[Record]:
    return [record for topic in LINE for record in broker.log(topic.name)]


def board_of(some: Iterable[Record], limit: int = 5_000) -> Board:
    board = Board(limit)
    for record in some:
        board.take(record)
    return board


async def test_a_request_that_was_answered(broker: MemoryBroker, line: Line) -> None:
    request_id = await line.whole(trace=TRACE)
    request = board_of(records(broker)).get(request_id)
    assert request is not None
    times = {record.timestamp_ms for record in records(broker)}
    assert (request.first_text_ms in times, request.ended_ms in times) == (True, True)
    request.first_text_ms = request.ended_ms = None
    assert request == Request(
        id=request_id,
        tenant="acme",
        created_ms=request.created_ms,
        model="m",
        api_key="psk-abc",
        state="completed",
        stage="done",
        prompt_tokens=7,
        completion_tokens=5,
        passages=1,
        epoch=1,
        trace_id="ab" * 16,
    )


@pytest.mark.parametrize(
    ("flags", "recorded"), [("00", False), ("01", True), ("02", False), ("03", True), ("zz", False)]
)
async def test_a_trace_is_named_if_it_is_recorded(
    broker: MemoryBroker, line: Line, flags: str, recorded: bool
) -> None:
    request_id = await line.asked(trace=f"{TRACE[:-2]}{flags}")
    request = board_of(records(broker)).get(request_id)
    assert request is not None
    assert (request.trace_id == "ab" * 16) is recorded


async def test_nothing_of_what_users_write_is_kept(broker: MemoryBroker, line: Line) -> None:
    request_id = await line.whole()
    assert CONTENT not in repr(board_of(records(broker)).get(request_id))


async def test_the_stage_follows_the_records(broker: MemoryBroker, line: Line) -> None:
    await line.whole()
    board, stages = Board(), []
    by_topic = {topic.name: broker.log(topic.name) for topic in LINE}
    for name in by_topic:
        for record in by_topic[name]:
            request = board.take(record)
            if request is not None and request.stage not in stages[-1:]:
                stages.append(request.stage)
    assert stages == ["tokenization", "retrieval", "generation", "postprocessing", "done"]


@settings(deadline=None)
@given(st.data())
async def test_the_order_in_which_topics_are_read_does_not_matter(data: st.DataObject) -> None:
    """Within a partition there is an order, between topics there is none."""
    broker = MemoryBroker()
    line = Line(broker)
    whole, failed = await line.whole(), await line.asked()
    await line.failed(failed)
    logs = [broker.log(topic.name) for topic in LINE]
    shuffled: list[Record] = []
    while any(logs):
        at = data.draw(st.sampled_from([i for i, log in enumerate(logs) if log]))
        shuffled.append(logs[at].pop(0))
    in_order, otherwise = board_of(records(broker)), board_of(shuffled)
    assert [otherwise.get(i) for i in (whole, failed)] == [in_order.get(i) for i in (whole, failed)]


async def test_the_first_end_counts(broker: MemoryBroker, line: Line) -> None:
    request_id = await line.asked()
    await line.cancelled(request_id)
    await line.failed(request_id)
    request = board_of(records(broker)).get(request_id)
    assert request is not None
    assert (request.state, request.error, request.completion_tokens) == ("cancelled", None, 5)


async def test_a_failure_is_told(broker: MemoryBroker, line: Line) -> None:
    request_id = await line.asked()
    await line.failed(request_id)
    request = board_of(records(broker)).get(request_id)
    assert request is not None
    assert (request.state, request.stage) == ("failed", "done")
    assert request.error == Failure("too_long", "It is too long.")


async def test_a_replaced_owner_of_a_partition_changes_nothing(broker: MemoryBroker, line: Line) -> None:
    request_id = await line.asked()
    await line.put(CHAT_GENERATED, EpochStarted(instance="g-2"), request_id, epoch=2)
    late = GenerationFinished(length=1, finish_reason="stop", usage=USAGE)
    await line.put(CHAT_GENERATED, late, request_id, epoch=1)
    request = board_of(records(broker)).get(request_id)
    assert request is not None
    assert request.stage == "tokenization"


async def test_what_is_no_event_changes_nothing(broker: MemoryBroker, line: Line) -> None:
    request_id = await line.asked()
    before = board_of(records(broker)).get(request_id)
    good = broker.log("chat.requests")[0]
    broken = [
        good._replace(value=b"{"),
        good._replace(value=None),
        good._replace(value=b"[" * 100_000),
        good._replace(headers=[]),
        good._replace(headers=[(n, b"\xff") if n == "ce_subject" else (n, v) for n, v in good.headers]),
        good._replace(headers=[(n, b"no-id") if n == "ce_subject" else (n, v) for n, v in good.headers]),
        good._replace(headers=[(n, b"globex") if n == "ce_tenant" else (n, v) for n, v in good.headers]),
    ]
    board = board_of([good, *broken])
    assert (board.get(request_id), len(board)) == (before, 1)


async def test_only_the_last_ones_are_kept_and_shown_page_by_page(broker: MemoryBroker, line: Line) -> None:
    ids = [await line.asked(request_id=line.new_id(1_700_000_000_000 + i)) for i in range(8)]
    await line.answered(ids[0])  # it is forgotten: what comes late brings it back no more
    board = board_of(records(broker), limit=5)
    assert len(board) == 5
    first, following = board.page(Wish(limit=2), EVERYONE)
    assert ([r.id for r in first], following) == ([ids[7], ids[6]], ids[6])
    second, following = board.page(Wish(limit=2, before=ids[6]), EVERYONE)
    assert ([r.id for r in second], following) == ([ids[5], ids[4]], ids[4])
    third, following = board.page(Wish(limit=2, before=ids[4]), EVERYONE)
    assert ([r.id for r in third], following) == ([ids[3]], None)


async def test_requests_are_found_by_state_and_by_the_beginning_of_their_id(
    broker: MemoryBroker, line: Line
) -> None:
    running, failed = await line.asked(), await line.asked()
    await line.failed(failed)
    board = board_of(records(broker))
    assert [r.id for r in board.page(Wish(state="failed"), EVERYONE)[0]] == [failed]
    for q in (running, running[:30], f"chatcmpl-{running}"):
        assert [r.id for r in board.page(Wish(q=q), EVERYONE)[0]] == [running]
    assert board.page(Wish(q="zzz"), EVERYONE) == ([], None)


async def test_pieces_of_text_change_nothing_but_when_the_first_came(
    broker: MemoryBroker, line: Line
) -> None:
    await line.whole(pieces=3)
    board = Board()
    texts = {"penstock.generation.text.v1": 0, "penstock.answer.text.v1": 0}
    for record in records(broker):
        kind = dict(record.headers)["ce_type"].decode()
        changed = board.take(record._replace(value=b"no JSON") if kind in texts else record)
        if kind in texts:
            texts[kind] += changed is not None
    assert texts == {"penstock.generation.text.v1": 0, "penstock.answer.text.v1": 1}
