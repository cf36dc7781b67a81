"""Notes kept with committed offsets, as they stand at the broker: closed by a mark.

librdkafka reads what another client has committed without its end: it copies the bytes, and then looks for a
zero byte that is not among them, so that whatever lies behind in memory may follow. (Its own commits have the
zero byte; see `rd_kafka_topic_partition_list_update`.) A number in a note would become another one.
"""

_END = "\n"
"""Readers of versions before this mark take it for a space."""


def closed(note: str) -> str:
    """Return what to commit for a note."""
    return note and note + _END


def opened(text: str) -> str:
    """Return the note in what was committed, empty if its end is not to be found: then nothing is known."""
    note, end, _ = text.partition(_END)
    return note if end else ""
