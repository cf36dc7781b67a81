"""Statistics of replies, and loads on a target whose answers are known."""

import asyncio
import time
from collections import Counter
from pathlib import Path

import pytest

from e2e.bench import report
from e2e.bench.errors import BenchError
from e2e.bench.figures import Latency, Reply, Spread, interleaved, per_thousand, percentile, total
from e2e.bench.load import Flood, answer_length, closed_loop, flood
from e2e.bench.questions import DIFFERENT, messages
from e2e.bench.tables import Table

EVEN = Reply(started=10.0, reads=((10.5, 1), (10.6, 1), (10.7, 1)), tokens=3)
GATHERED = Reply(started=20.0, reads=((21.0, 1), (21.4, 4)), tokens=5)


def test_a_reply_knows_its_first_token_its_gaps_and_its_time_a_token() -> None:
    assert EVEN.first == pytest.approx(0.5)
    assert EVEN.gaps == pytest.approx([0.1, 0.1])
    assert EVEN.per_token == pytest.approx(0.1)
    assert GATHERED.gaps == pytest.approx([0.4])
    assert GATHERED.per_token == pytest.approx(0.1)


def test_an_answer_in_one_read_has_no_gap() -> None:
    reply = Reply(1.0, ((2.0, 7),), 7)
    assert reply.gaps == []
    assert reply.per_token is None


def test_tokens_of_a_time_follow_the_text_that_arrived_then() -> None:
    reply = Reply(0.0, ((1.0, 30), (2.0, 10), (3.0, 60)), tokens=20)  # 100 characters, 20 tokens
    assert reply.tokens_between(0, 10) == 20
    assert reply.tokens_between(1.0, 3.0) == pytest.approx(8)
    assert reply.tokens_between(3.0, 3.5) + reply.tokens_between(3.5, 9) == pytest.approx(12)
    assert Reply(0.0, ((1.0, 0),), 1).tokens_between(0, 10) == 0


def test_latency_of_many_replies() -> None:
    latency = Latency.of([EVEN, GATHERED])
    assert latency.first.median == pytest.approx(0.75)
    assert latency.gap.median == pytest.approx(0.1)
    assert latency.tokens_per_read == pytest.approx(8 / 5)
    assert latency.answers == 2


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([7], 0.95, 7), ([1, 2, 3, 4, 5], 0.5, 3), ([3, 1, 2], 1.0, 3), ([0, 10], 0.95, 9.5), ([4, 8], 0, 4)],
)
def test_percentiles(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == pytest.approx(expected)


def test_a_spread_is_median_and_95th_percentile() -> None:
    assert Spread.of(list(range(101))) == Spread(50, 95)


def test_each_arm_goes_first_as_often_as_the_other() -> None:
    order = interleaved(4)
    assert Counter(first for first, _ in order) == {0: 2, 1: 2}
    assert all(sorted(pair) == [0, 1] for pair in order)


def test_costs_add_up_by_name() -> None:
    spent = total([{"gateway": 30.0, "kafka": 5.0}, {"gateway": 10.0}])
    assert spent == {"gateway": 40.0, "kafka": 5.0}
    assert per_thousand(spent, 2_000) == {"gateway": 20.0, "kafka": 2.5}


def test_questions_differ_in_their_first_words_and_come_round() -> None:
    opening = {messages(nth)[0]["content"] for nth in range(500)}
    assert len(opening) == 500
    assert len({messages(nth)[1]["content"] for nth in range(500)}) == DIFFERENT
    assert messages(3, different=8)[1] == messages(11, different=8)[1]


def test_answer_lengths_stay_in_their_range_and_differ() -> None:
    lengths = [answer_length(nth, 64) for nth in range(200)]
    assert (min(lengths), max(lengths)) == (32, 96)
    assert len(set(lengths)) == 65


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


async def test_a_closed_loop_asks_each_question_once_with_all_clients_at_once() -> None:
    target = Clockwork(0.001)
    replies = await closed_loop(target, streams=3, each=4, max_tokens=5, spread_s=0.0, first=100)
    assert sorted(target.asked) == list(range(100, 112))
    assert len(replies) == 12
    assert target.most == 3


async def test_a_flood_counts_only_the_window() -> None:
    target = Clockwork(0.005)
    spent = iter([{"it": 100.0}, {"it": 130.0}])
    window = await flood(target, Flood(4, 10, ramp_s=0.1, window_s=0.3), lambda: next(spent))
    assert window.seconds == pytest.approx(0.3, abs=0.1)
    # 4 clients, at best 200 tokens a second each; the timer may be late, never early.
    assert 100 < window.rate <= 810
    assert window.tokens < sum(answer_length(nth, 10) for nth in target.asked)
    assert window.spent_ms == {"it": 30.0}
    assert target.here == 0


async def test_one_failed_answer_makes_the_load_void() -> None:
    with pytest.raises(BenchError, match="broken"):
        await closed_loop(Clockwork(0.001, fails_at=2), 2, 3, 5, 0.0, 0)


def test_the_report_replaces_what_stands_between_its_marks(tmp_path: Path) -> None:
    file = tmp_path / "benchmarks.md"
    file.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    table = Table("Speed", ("arm", "tokens/s"), [["directly", "1,000"]], "A note.")
    for _ in range(2):
        report.rewrite(file, "2 cores", "make bench", [table])
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
        report.rewrite(file, "2 cores", "make bench", [])
    assert file.read_text() == "mine\n"
