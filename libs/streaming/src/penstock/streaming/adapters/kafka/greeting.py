"""The first words to a broker, and what it says to them.

Requests and answers are those of Kafka's protocol guide: a size, an API key, its version, a correlation id,
a client id; Metadata (3) version 1, SaslHandshake (17) version 1, SaslAuthenticate (36) version 0.
"""

import struct
from typing import Any, Protocol

from kafka.net.sasl import get_sasl_mechanism

from penstock.streaming.connection import KafkaConnection

_LONGEST = 1 << 16
_UNSUPPORTED_MECHANISM = 33
_CORRELATION = 1


class Declined(Exception):
    """The broker does not want to stream like that; the text says what to check."""


class Stream(Protocol):
    """What of a socket is used, with TLS or without."""

    def sendall(self, data: bytes, /) -> None: ...
    def recv(self, size: int, /) -> bytes: ...


def ask(stream: Stream) -> None:
    """Ask for the metadata of no topic. Raises Declined if the broker hangs up, or is none; OSError."""
    if _call(stream, 3, 1, struct.pack(">i", 0)) is None:
        raise Declined("it wants another protocol (TLS, or a user): check PENSTOCK_KAFKA_PROTOCOL")


def log_in(stream: Stream, connection: KafkaConnection) -> None:
    """Say who we are, and prove it. Raises Declined if the broker does not believe it; OSError."""
    mechanism = connection.mechanism.encode()
    told = _call(stream, 17, 1, struct.pack(">h", len(mechanism)) + mechanism)
    if told is None:
        raise Declined("it takes no users in this protocol: check PENSTOCK_KAFKA_PROTOCOL")
    code = _number(told, 0, ">h")
    if code == _UNSUPPORTED_MECHANISM:
        raise Declined(f"it does not take {connection.mechanism}: check PENSTOCK_KAFKA_MECHANISM")
    if code != 0:
        raise Declined(f"it takes no users (error {code}): check PENSTOCK_KAFKA_PROTOCOL")
    _prove(stream, connection)


def _prove(stream: Stream, connection: KafkaConnection) -> None:
    proof: Any = get_sasl_mechanism(connection.mechanism)(
        sasl_mechanism=connection.mechanism,
        sasl_plain_username=connection.user,
        sasl_plain_password=connection.password.get_secret_value(),
    )
    while not proof.is_done():
        token = proof.auth_bytes()
        told = _call(stream, 36, 0, struct.pack(">i", len(token)) + token)
        if told is None or _number(told, 0, ">h") != 0:
            raise Declined(
                f"it refuses the user {connection.user!r}: check PENSTOCK_KAFKA_USER, PENSTOCK_KAFKA_PASSWORD"
                f" and PENSTOCK_KAFKA_MECHANISM ({connection.mechanism})"
            )
        start = 4 + max(0, _number(told, 2, ">h")) + 4  # after an error's message, and a size
        try:
            proof.receive(told[start:])
        except (ValueError, KeyError) as error:
            raise Declined(f"it does not prove that it knows the password ({error})") from error


def _call(stream: Stream, key: int, version: int, body: bytes) -> bytes | None:
    """Return an answer's body, or None if the broker hangs up instead or does not speak Kafka's protocol."""
    request = struct.pack(">hhih", key, version, _CORRELATION, -1) + body
    try:
        stream.sendall(struct.pack(">i", len(request)) + request)
        size = _number(_receive(stream, 4), 0, ">i")
        answer = _receive(stream, size) if 4 <= size <= _LONGEST else b""
    except (ConnectionResetError, BrokenPipeError):
        return None
    return answer[4:] if _number(answer, 0, ">i") == _CORRELATION else None


def _receive(stream: Stream, count: int) -> bytes:
    """Return so many bytes, or none if the broker hangs up before."""
    data = b""
    while len(data) < count:
        part = stream.recv(count - len(data))
        if not part:
            return b""
        data += part
    return data


def _number(data: bytes, at: int, form: str) -> int:
    """Return the number that stands there, or -1 if the answer ends before it."""
    size = struct.calcsize(form)
    return int(struct.unpack_from(form, data, at)[0]) if len(data) >= at + size else -1
