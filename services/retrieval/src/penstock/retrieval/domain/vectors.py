"""Vectors as events carry them: little-endian 32-bit floats, one after the other."""

import math
import struct

from penstock.retrieval.domain.passages import Vector

_BYTES = 4


class UnusableVector(Exception):
    """Bytes that are no vector of the index; the message says why."""


def decode_vector(raw: bytes, size: int) -> Vector:
    """Return the vector of `size` numbers that `raw` holds. Raises UnusableVector."""
    if len(raw) != size * _BYTES:
        raise UnusableVector(f"a vector of {len(raw)} bytes, where {size} floats take {size * _BYTES}")
    vector = struct.unpack(f"<{size}f", raw)
    if not all(map(math.isfinite, vector)):
        raise UnusableVector("a vector with a number that is not finite")
    return vector
