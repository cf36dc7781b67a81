"""What the metrics say of backends."""

from collections.abc import AsyncGenerator, Callable, Sequence

import pytest
from opentelemetry.sdk.metrics.export import DataPointT, HistogramDataPoint, NumberDataPoint

from penstock.clients.models import UNKNOWN
from penstock.generation.calls import Calls, reads_of, weight
from penstock.generation.pool import Pool
from penstock.generation.ports import BackendBusy, BackendFailed, BackendRefused, End, Token
from penstock.messages.chat import ChatRetrieved, Passage, Sampling
from penstock.telemetry import metric_catalog
from penstock.telemetry.instruments import watched
from penstock.telemetry.metric_definition import MetricDefinition

Measured = Callable[[MetricDefinition], list[DataPointT]]
URL = "http://gpu-1:8080"
PASSAGE = Passage(document_id="d", title="T", start=0, end=4, text="text", tokens=30)
REQUEST = ChatRetrieved(
    model="tiny",
    prompt_before="a",
    prompt_after="b",
    prompt_tokens=7,
    passages=(PASSAGE, PASSAGE),
    sampling=Sampling(max_tokens=100),
)


class FixedBackend:
    """Has as many slots as it is told."""

    def __init__(self, url: str, slots: int) -> None:
        self.url = url
        self.slots = slots
        self.profile = UNKNOWN

    async def check(self) -> None:
        return

    async def stream(self, prompt: str, sampling: Sampling) -> AsyncGenerator[Sequence[Token | End], None]:
        raise AssertionError(f"nobody asks: {prompt} {sampling}")
        yield [Token("")]


def histograms(measured: Measured, metric: MetricDefinition) -> list[HistogramDataPoint]:
    points = [point for point in measured(metric) if isinstance(point, HistogramDataPoint)]
    for point in points:
        assert set(point.attributes or {}) <= set(metric.attributes)
    return points


def test_a_request_to_a_backend_is_measured_with_what_it_read_and_wrote(measured: Measured) -> None:
    with Calls().measured(REQUEST, URL, written=5) as call:
        call.tokens = 12
    [duration] = histograms(measured, metric_catalog.CLIENT_DURATION)
    assert (duration.attributes or {})["server.address"] == "gpu-1"
    assert (duration.attributes or {})["server.port"] == 8080
    assert "error.type" not in (duration.attributes or {})
    usage = {
        (p.attributes or {})["gen_ai.token.type"]: p.sum
        for p in histograms(measured, metric_catalog.TOKEN_USAGE)
    }
    assert usage == {"input": 7 + 60 + 5, "output": 12}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BackendBusy("full"), "backend_busy"),
        (BackendFailed("gone"), "backend_failed"),
        (BackendRefused("no"), "backend_refused"),
    ],
)
def test_one_that_fails_is_told_by_how(measured: Measured, error: Exception, code: str) -> None:
    with pytest.raises(type(error)), Calls().measured(REQUEST, URL, written=0):
        raise error
    [duration] = histograms(measured, metric_catalog.CLIENT_DURATION)
    assert (duration.attributes or {})["error.type"] == code
    assert histograms(measured, metric_catalog.TOKEN_USAGE) == []  # nothing says that it has read the prompt


async def test_slots_are_told_by_backend_and_state(measured: Measured) -> None:
    pool = Pool([FixedBackend("http://a:1", 4), FixedBackend("https://b", 0)])
    with watched(reads_of(pool, {"m": 2})):
        async with pool.lease():
            slots = {
                (a["server.address"], a["server.port"], a["penstock.state"]): point.value
                for point in measured(metric_catalog.SLOTS)
                if isinstance(point, NumberDataPoint) and (a := point.attributes or {})
            }
            loops = [p.value for p in measured(metric_catalog.LOOPS) if isinstance(p, NumberDataPoint)]
            up = [p.value for p in measured(metric_catalog.BACKEND_UP) if isinstance(p, NumberDataPoint)]
    assert slots == {("a", 1, "used"): 1, ("a", 1, "free"): 3, ("b", 443, "used"): 0, ("b", 443, "free"): 0}
    assert up == [1, 0]
    assert loops == [2]


def test_a_question_weighs_what_it_makes_a_backend_read_and_write() -> None:
    assert weight(REQUEST) == 7 + 60 + 100
