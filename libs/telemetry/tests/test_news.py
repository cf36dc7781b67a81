"""When a process tells its metrics: at once what is new, and seldom that nothing is."""

from penstock.telemetry.instruments import looked_up, watched
from penstock.telemetry.news import HEARTBEAT_SECONDS, News
from penstock.telemetry.process import watch_process
from penstock.telemetry.stage_metric_catalog import LAG


class Told:
    """News of a lag and of a clock, both set by hand."""

    def __init__(self) -> None:
        self.lag = 0.0
        self.now = 0.0
        self.news = News(lambda: self.lag, lambda: self.now)

    def rested(self) -> "Told":
        """Everything was said, and heard."""
        while self.news.due():
            self.news.said()
        return self


def test_without_news_only_a_heartbeat_is_told() -> None:
    told = Told().rested()
    told.now += HEARTBEAT_SECONDS - 1
    assert not told.news.due()
    told.now += 1
    assert told.news.due()
    told.news.said()
    assert not told.news.due()


def test_a_change_is_told_and_once_more_that_it_has_come_to_rest() -> None:
    told = Told().rested()
    told.lag = 3
    assert told.news.due()
    told.news.said()
    assert told.news.due()
    told.news.said()
    assert not told.news.due()


def test_what_nobody_heard_is_told_again() -> None:
    told = Told().rested()
    told.now += HEARTBEAT_SECONDS
    for _ in range(3):
        assert told.news.due()
        told.news.unheard()
    assert told.news.due()
    told.news.said()
    assert not told.news.due()


def test_what_a_process_takes_of_its_machine_is_no_news() -> None:
    watch_process()
    before = looked_up()
    list(range(1_000_000))  # takes time
    assert looked_up() == before


def test_what_is_watched_is_news_when_it_changes_or_cannot_be_read() -> None:
    lag = [1.0]
    with watched({LAG: lambda: [(lag[0], {})]}):
        before = looked_up()
        assert looked_up() == before
        lag[0] = 2
        assert looked_up() != before
    with watched({LAG: lambda: [(1 / 0, {})]}):
        assert looked_up() != looked_up()
