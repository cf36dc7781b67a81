"""Request ids: UUIDv7 (RFC 9562, section 5.7) whose `rand_a` field carries the reply partition.

From the id alone any gateway replica knows where (partition) and from when (milliseconds) to read an answer.
"""

import secrets
from collections.abc import Callable
from uuid import UUID

MAX_PARTITIONS = 1 << 12
_SHOWN_PREFIX = "chatcmpl-"
_RAND_B_BITS = 62


def new_request_id(
    reply_partition: int, now_ms: int, randbits: Callable[[int], int] = secrets.randbits
) -> str:
    """Return a new id as the usual 36 characters.

    `reply_partition` is 0..4095 (12 bits), `now_ms` is Unix time in milliseconds. Raises ValueError outside.
    """
    if not 0 <= reply_partition < MAX_PARTITIONS:
        raise ValueError(f"reply partition must be 0..{MAX_PARTITIONS - 1}, got {reply_partition}")
    if not 0 <= now_ms < 1 << 48:
        raise ValueError(f"time must fit 48 bits of milliseconds, got {now_ms}")
    value = now_ms << 80 | 0x7 << 76 | reply_partition << 64 | 0b10 << 62 | randbits(_RAND_B_BITS)
    return str(UUID(int=value))


def reply_partition(request_id: str) -> int:
    """Return the reply partition an id carries. Raises ValueError if it is not a UUIDv7."""
    return _parse(request_id).int >> 64 & 0xFFF


def created_ms(request_id: str) -> int:
    """Return the Unix time in milliseconds an id carries. Raises ValueError if it is not a UUIDv7."""
    return _parse(request_id).int >> 80


def shown_id(request_id: str) -> str:
    """Return the id that a client sees in its answer, in OpenAI's form."""
    return f"{_SHOWN_PREFIX}{request_id}"


def request_id_of(shown: str) -> str:
    """Return the request id in what somebody gives as one, which may be as an answer shows it."""
    return shown.removeprefix(_SHOWN_PREFIX)


def _parse(request_id: str) -> UUID:
    uuid = UUID(request_id)
    if uuid.version != 7 or str(uuid) != request_id:  # UUID() also takes braces, URNs and capitals
        raise ValueError(f"not a UUIDv7: {request_id}")
    return uuid
