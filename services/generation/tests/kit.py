"""What the tests of generation share: an empty log of cancellations, and a received event."""

from penstock.messages.envelope import Envelope
from penstock.messages.event import Event
from penstock.streaming.adapters.memory import MemoryBroker
from penstock.streaming.ports import Partition, Reader, Start
from penstock.streaming.stage import Received


async def quiet(partition: Partition, start: Start) -> Reader:
    """Open a log of cancellations in which nothing stands."""
    return MemoryBroker().reader([partition], start)


def received(event: Event) -> Received[Event]:
    """Return an event as the request "r" of chat.retrieved."""
    envelope = Envelope(id="i", type=event.TYPE, source="/s", time_ms=1, subject="r", tenant="t")
    return Received(event, envelope, Partition("chat.retrieved", 0), 0)
