"""From replies to goals, and loads on targets whose answers are known."""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import uvicorn

from e2e.bench import report
from e2e.bench.against_stub import DIRECT, PENSTOCK, Step, StubFigures
from e2e.bench.client import Client
from e2e.bench.errors import BenchError
from e2e.bench.figures import Reply, Round, Window, percentile
from e2e.bench.goals import Figures, Goal, goals, wanted_share
from e2e.bench.load import Load, hold, wave
from e2e.bench.passthrough import PassThrough
from e2e.bench.plan import QUICK, STREAMS
from e2e.bench.processes import CLIENT, PASS_THROUGH, STUB
from e2e.bench.questions import DIFFERENT, messages
from e2e.bench.tables import Table
from e2e.bench.targets import Direct
from e2e.bench.turns import rotated
from e2e.stub.backend import Stub
from e2e.stub.serving import StubServer
from e2e.stub.wire import Behaviour

EVEN = Reply(started=10.0, reads=((10.5, 1), (10.6, 1), (10.7, 1)), tokens=3)
GATHERED = Reply(started=20.0, reads=((21.0, 1), (21.4, 4)), tokens=5)


def test_a_reply_knows_its_first_token_and_its_gaps() -> None:
    assert EVEN.first == pytest.approx(0.5)
    assert EVEN.gaps == pytest.approx([0.1, 0.1])
    assert GATHERED.gaps == pytest.approx([0.4])


def test_tokens_of_a_time_follow_the_text_that_arrived_then() -> None:
    reply = Reply(0.0, ((1.0, 30), (2.0, 10), (3.0, 60)), tokens=20)  # 100 characters, 20 tokens
    assert reply.tokens_between(0, 10) == 20
    assert reply.tokens_between(1.0, 3.0) == pytest.approx(8)
    assert reply.tokens_between(3.0, 3.5) + reply.tokens_between(3.5, 9) == pytest.approx(12)
    assert Reply(0.0, ((1.0, 0),), 1).tokens_between(0, 10) == 0


def test_a_round_counts_what_came_while_its_window_was_open() -> None:
    earlier = Reply(9.0, ((9.5, 1), (10.55, 1)), tokens=2)
    later = Reply(10.0, ((11.5, 1),), tokens=1)
    measured = Round.of(Window(10.0, 11.0, (EVEN, earlier, later), {"gateway": 30.0}))
    assert measured.answers == 1
    assert measured.first_ms == pytest.approx(500)
    assert measured.gap_ms == pytest.approx(100)
    assert measured.tokens == 4
    assert measured.rate == 4
    assert measured.per_thousand("gateway") == pytest.approx(7_500)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([7], 0.95, 7), ([1, 2, 3, 4, 5], 0.5, 3), ([3, 1, 2], 1.0, 3), ([0, 10], 0.95, 9.5), ([4, 8], 0, 4)],
)
def test_percentiles(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == pytest.approx(expected)


def test_each_arm_goes_first_as_often_as_the_others() -> None:
    orders = list(rotated(["a", "b", "c"], 6))
    assert Counter(order[0] for order in orders) == {"a": 2, "b": 2, "c": 2}
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)


def test_questions_differ_in_their_first_words_and_come_round() -> None:
    opening = {messages(nth)[0]["content"] for nth in range(500)}
    assert len(opening) == 500
    assert len({messages(nth)[1]["content"] for nth in range(500)}) == DIFFERENT
    assert messages(3, different=8)[1] == messages(11, different=8)[1]


def test_answer_lengths_stay_in_their_range_and_differ_unless_they_are_even() -> None:
    lengths = [Load(1, 64, 0, 0).length(nth) for nth in range(200)]
    assert (min(lengths), max(lengths)) == (32, 96)
    assert len(set(lengths)) == 65
    assert {Load(1, 64, 0, 0, even=True).length(nth) for nth in range(200)} == {64}


class Clockwork:
    """A target that writes a token every `pause` seconds, and counts who is there at once."""

    def __init__(self, pause: float, fails_at: int | None = None) -> None:
        self.pause = pause
        self.fails_at = fails_at
        self.asked: list[int] = []
        self.here = 0
        self.most = 0

    async def ask(self, nth: int, max_tokens: int) -> Reply:
        self.asked.append(nth)
        if nth == self.fails_at:
            raise BenchError("broken")
        self.here += 1
        self.most = max(self.most, self.here)
        started, reads = time.perf_counter(), []
        for _ in range(max_tokens):
            await asyncio.sleep(self.pause)
            reads.append((time.perf_counter(), 1))
        self.here -= 1
        return Reply(started, tuple(reads), max_tokens)


async def test_a_load_asks_each_question_once_with_all_clients_at_once_and_ends_in_peace() -> None:
    target = Clockwork(0.002)
    spent = iter([{"it": 100.0}, {"it": 130.0}])
    window = await hold(target, Load(4, 10, ramp_s=0.05, window_s=0.2), lambda: next(spent), first=100)
    assert target.asked == list(range(100, 100 + len(window.replies)))
    assert target.most == 4
    assert target.here == 0
    assert window.spent_ms == {"it": 30.0}
    assert 0 < window.tokens < sum(reply.tokens for reply in window.replies)


async def test_one_failed_answer_makes_the_load_void() -> None:
    with pytest.raises(BenchError, match="broken"):
        await hold(Clockwork(0.001, fails_at=2), Load(2, 3, 0, 60), dict)
    with pytest.raises(BenchError, match="broken"):
        await wave(Clockwork(0.001, fails_at=2), 3, 1, 0)


@pytest.fixture
async def stub() -> AsyncIterator[str]:
    """URL of a stub whose second token comes 20 ms after the first."""
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    server = StubServer(Stub(Behaviour(first_ms=20, inter_ms=20, slots=1)), url.set_result)
    serving = asyncio.create_task(server.serve())
    yield await url
    server.stop()
    await serving


@pytest.fixture
async def proxy(stub: str) -> AsyncIterator[str]:
    """URL of the pass-through proxy to the stub."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(PassThrough(stub), lifespan="off", log_level="warning")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([listening]))
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        await serving


async def test_the_client_reads_the_same_answer_from_the_stub_and_through_the_proxy(
    stub: str, proxy: str
) -> None:
    for url in (stub, proxy):
        client = Client(url)
        target = Direct(client, lambda nth: f"question {nth}")
        for nth in range(2):  # the second on the kept connection
            reply = await target.ask(nth, 3)
            assert reply.tokens == 3
            assert sum(amount for _, amount in reply.reads) == 3
            assert reply.first >= 0.019
        client.close()


async def test_a_refusal_makes_the_run_void_and_says_why(stub: str) -> None:
    target = Direct(Client(stub), lambda nth: f"question {nth}")
    with pytest.raises(BenchError, match=r"429 .*overloaded"):
        await wave(target, 2, 3, 0)


def a_round(first_ms: float, tokens: float, **spent_ms: float) -> Round:
    return Round(
        answers=1,
        seconds=1.0,
        tokens=tokens,
        first_ms=first_ms,
        first_p95_ms=first_ms,
        gap_ms=5.0,
        gap_p95_ms=6.0,
        spent_ms={"kafka": 0.0, "gateway": 0.0, CLIENT: 90.0, STUB: 80.0, PASS_THROUGH: 0.0} | spent_ms,
    )


ARMS = {
    DIRECT: [a_round(20, 9_000)] * 3,
    PASS_THROUGH: [a_round(40, 1_000, **{PASS_THROUGH: 700.0}, gateway=20.0)] * 3,
    PENSTOCK: [a_round(30, 7_000, kafka=500.0, gateway=800.0), a_round(35, 7_000), a_round(31, 6_000)],
}
FIGURES = Figures(
    machine="2 cores",
    stub=StubFigures([Step(streams, ARMS) for streams in STREAMS], {"gateway": 100.0}),
    idle={"kafka": 5.0, "gateway": 3.5},
)


def test_goals_stand_beside_their_figures() -> None:
    rows = {goal.name: goal for goal in goals(FIGURES)}
    first = rows["added to the first token, 1 stream"]
    assert (first.figure, first.passing, first.limit, first.met) == (11, 20, 13, True)
    rate = rows["tokens/s, 64 streams"]
    assert (rate.figure, rate.passing, rate.met) == (7_000, 1_000, True)
    spent = rows["processor time for 1,000 tokens, 64 streams"]
    assert spent.figure == 0  # the median of three rounds
    assert spent.passing == 700  # what Penstock spends beside it does not count
    idle = rows["processor of the idle stack, without Kafka"]
    assert (idle.figure, idle.met) == (3.5, True)


@pytest.mark.parametrize(("engine", "wanted"), [(146, 92), (600, 92), (800, 88.5), (1_000, 85), (1_114, 85)])
def test_the_wanted_share_of_the_engine_depends_on_its_rate(engine: float, wanted: float) -> None:
    assert wanted_share(engine) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("goal", "met"),
    [
        (Goal("", "", 5, None, 4), False),
        (Goal("", "", 4, None, 4), True),
        (Goal("", "", 5, None, 6, at_least=True), False),
        (Goal("", "", 5, None, None), None),
    ],
)
def test_a_goal_is_met_or_missed_or_there_is_none(goal: Goal, met: bool | None) -> None:
    assert goal.met is met


def test_figures_are_read_back_from_json_and_stand_as_before() -> None:
    before = msgspec.json.decode(msgspec.json.encode(FIGURES), type=Figures)
    assert before == FIGURES
    first, *others = report.tables(FIGURES, QUICK, before)
    assert first.headings[:3] == ["", "before", "Penstock"]
    assert first.rows[0] == [
        "added to the first token, 1 stream",
        "11 ms",
        "11 ms",
        "20 ms",
        "≤ 13 ms",
        "met",
    ]
    assert [table.title for table in others] == [
        "First token, gaps and tokens/s, against the stub",
        "Processor time by process, against the stub",
        "Processor of the idle stack",
        "Memory",
    ]


def test_the_report_replaces_what_stands_between_its_marks(tmp_path: Path) -> None:
    file = tmp_path / "benchmarks.md"
    file.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    table = Table("Speed", ("arm", "tokens/s"), [["directly", "1,000"]], "A note.")
    for _ in range(2):
        report.rewrite(file, "2 cores", [table])
    text = file.read_text()
    assert text.startswith(f"before\n{report.BEGIN}\n")
    assert text.endswith(f"{report.END}\nafter\n")
    assert "old" not in text
    assert (
        text.count("### Speed\n\n| arm | tokens/s |\n| --- | ---: |\n| directly | 1,000 |\n\nA note.\n") == 1
    )


def test_a_report_without_marks_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "benchmarks.md"
    file.write_text("mine\n")
    with pytest.raises(BenchError, match="marks"):
        report.rewrite(file, "2 cores", [])
    assert file.read_text() == "mine\n"
