"""Notes kept with committed offsets, as they stand at the broker: closed by a mark.

librdkafka takes a committed note for a C string, and its own commits end with a zero byte. Where that is
missing, as in the commits of earlier versions by kafka-python, it reads on into whatever lies behind in
memory (`rd_kafka_topic_partition_list_update` copies the bytes alone): a number becomes another one, or no
text at all.
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
