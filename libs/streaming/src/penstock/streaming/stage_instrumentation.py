"""What one runner tells of its stage: how much waits, for how long, and what went wrong.

Counting costs the way of a record an addition. All else is worked out when somebody collects, in another
thread: what is read there is replaced as a whole by its owner, or copied in one step.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping

from opentelemetry.trace import Span, set_span_in_context

from penstock.messages.event import Event
from penstock.streaming.errors import HandlerError
from penstock.streaming.offsets import Offsets
from penstock.streaming.ports import Partition, Record
from penstock.streaming.stage import Fold, Journaled, Stage
from penstock.streaming.watermark import Arrival, Watermark
from penstock.telemetry import names
from penstock.telemetry import stage_metric_catalog as metrics
from penstock.telemetry.instruments import Attributes, Read, histogram
from penstock.telemetry.metric_definition import MetricDefinition

_WEIGHED = 100
Values = Iterator[tuple[float, Attributes]]


class StageMeter:
    """Counts and measures for one stage; `buried` are the records that went to the dead letters, by topic."""

    def __init__(
        self,
        stage: Stage,
        offsets: Offsets,
        clock_ms: Callable[[], int],
        buried: Mapping[str, int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stage = stage
        self._offsets = offsets
        self._clock_ms = clock_ms
        self._monotonic = monotonic
        self._duration = histogram(metrics.PROCESS_DURATION)
        self._topics = {topic.name: self._about(topic.name) for topic in stage.inputs}
        self._processing = {name: _messaging("process", about) for name, about in self._topics.items()}
        self._weights: deque[int] = deque(maxlen=_WEIGHED)
        self.ends: Mapping[Partition, int] = {}
        """Where the partitions ended when that was last looked up."""
        self.waiting: Callable[[str], int] = lambda _topic: 0
        """Tells how many records of a topic were read and are not taken up."""
        self.is_paused = False
        self.fenced: Counter[str] = Counter()
        self._read: Counter[str] = Counter()
        self._buried = buried
        self._retries = 0
        self._epochs: dict[int, int] = {}
        self._takeovers = 0
        self._continued = 0

    def arrival(self, record: Record) -> Arrival:
        """Count a record that was read, and return when it arrived."""
        self._read[record.partition.topic] += 1
        return Arrival(record.timestamp_ms, self._monotonic())

    def weigh(self, event: Event) -> None:
        """Take note of how many tokens an event asks for, if that is known of the stage's events.

        A request that has failed already asks for none.
        """
        if self._stage.weigh is not None and not event.TERMINAL:
            self._weights.append(self._stage.weigh(event))

    def now(self) -> float:
        """Return the time from which `processed` measures."""
        return self._monotonic()

    def processed(self, topic: str, since: float, span: Span, error: HandlerError | None) -> None:
        """Record that a record (or a subject's records) is done, well or with an error."""
        about = self._processing[topic]
        if error is not None:
            about = {**about, names.ERROR_TYPE: error.code}
        self._duration.record(self._monotonic() - since, about, context=set_span_in_context(span))

    def retried(self) -> None:
        """Count an attempt that is repeated."""
        self._retries += 1

    def took_over(self, number: int, epoch: int, continued: int) -> None:
        """Take note of a partition of the journal that is ours, with how many open requests."""
        self._epochs[number] = epoch
        self._takeovers += 1
        self._continued += continued

    def gave_up(self, numbers: Iterable[int]) -> None:
        """Take note of partitions of the journal that are ours no more."""
        for number in numbers:
            self._epochs.pop(number, None)

    def reads(self) -> Mapping[MetricDefinition, Read]:
        """Return what is to be looked up while the stage runs."""
        reads: dict[MetricDefinition, Read] = {
            metrics.CONSUMED: self._consumed,
            metrics.LAG: lambda: self._by_topic(self._lag),
            metrics.HELD: lambda: self._by_topic(lambda _, marks: sum(m.in_flight for m in marks.values())),
            metrics.OLDEST_AGE: lambda: self._by_topic(self._oldest_age),
            metrics.WATERMARK_AGE: lambda: self._by_topic(self._watermark_age),
            metrics.PARTITIONS: lambda: self._by_topic(lambda _, marks: len(marks)),
            metrics.PAUSED: lambda: [(int(self.is_paused), self._group)],
            metrics.RETRIES: lambda: [(self._retries, self._group)],
            metrics.DEAD_LETTERS: lambda: self._by_topic(lambda topic, _: self._buried.get(topic, 0)),
        }
        if self._stage.weigh is not None:
            reads[metrics.LAG_TOKENS] = self._lag_tokens
        if isinstance(self._stage.processing, Journaled):
            reads |= self._reads_of_journal(self._stage.processing.journal.name)
        elif isinstance(self._stage.processing, Fold):
            reads[metrics.FENCED] = lambda: self._by_topic(lambda topic, _: self.fenced[topic])
        return reads

    def _reads_of_journal(self, journal: str) -> dict[MetricDefinition, Read]:
        about = {names.MESSAGING_DESTINATION: journal}
        return {
            metrics.EPOCH: lambda: [
                (epoch, {**about, names.MESSAGING_PARTITION: number})
                for number, epoch in dict(self._epochs).items()
            ],
            metrics.TAKEOVERS: lambda: [(self._takeovers, about)],
            metrics.CONTINUED: lambda: [(self._continued, about)],
        }

    @property
    def _group(self) -> Attributes:
        return {names.MESSAGING_GROUP: self._stage.name}

    def _about(self, topic: str) -> Attributes:
        return {**self._group, names.MESSAGING_DESTINATION: topic}

    def _consumed(self) -> Values:
        for topic, about in self._topics.items():
            yield self._read[topic], _messaging("poll", about)

    def _by_topic(self, value: Callable[[str, Mapping[Partition, Watermark]], float]) -> Values:
        marks = self._offsets.marks()
        for topic, about in self._topics.items():
            yield value(topic, {at: mark for at, mark in marks.items() if at.topic == topic}), about

    def _lag(self, topic: str, marks: Mapping[Partition, Watermark]) -> int:
        unread = sum(max(0, self.ends.get(at, 0) - mark.position) for at, mark in marks.items())
        return unread + self.waiting(topic)

    def _lag_tokens(self) -> Values:
        weights = list(self._weights)
        mean = sum(weights) / len(weights) if weights else 0
        return self._by_topic(lambda topic, marks: round(mean * self._lag(topic, marks)))

    def _oldest_age(self, _topic: str, marks: Mapping[Partition, Watermark]) -> float:
        now = self._clock_ms()
        return max((max(0, now - a.written_ms) / 1000 for a in _arrivals(marks)), default=0.0)

    def _watermark_age(self, _topic: str, marks: Mapping[Partition, Watermark]) -> float:
        now = self._monotonic()
        return max((now - arrival.read_s for arrival in _arrivals(marks)), default=0.0)


def _arrivals(marks: Mapping[Partition, Watermark]) -> Iterator[Arrival]:
    for mark in marks.values():
        oldest = mark.oldest
        if oldest is not None:
            yield oldest


def _messaging(operation: str, about: Attributes) -> Attributes:
    return {names.MESSAGING_SYSTEM: "kafka", names.MESSAGING_OPERATION_NAME: operation, **about}
