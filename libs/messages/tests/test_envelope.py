"""The envelope: what is written is read, and every malformed header is refused by its name."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.messages.envelope import Envelope, derived_id, from_headers, to_headers
from penstock.messages.event import InvalidEvent

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ENVELOPE = Envelope(
    id="8c5ab4f6f1f64f7a9a1d2b3c4d5e6f70",
    type="penstock.chat.requested.v1",
    source="gateway",
    time_ms=1_764_000_000_123,
    subject="019ab6a3-6e7b-7005-8f3c-5d2a9b1c4e6f",
    tenant="acme",
    reply_partition=5,
    deadline_ms=1_764_000_060_123,
    epoch=7,
    traceparent=TRACEPARENT,
)
HEADERS = dict(to_headers(ENVELOPE))
REQUIRED = ["ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "ce_subject", "ce_tenant"]
NUMBERS = ["ce_replypartition", "ce_deadline", "ce_epoch"]
LAST_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z

texts = st.text(min_size=1)
numbers = st.integers(0, 10**18 - 1)
envelopes = st.builds(
    Envelope,
    id=texts,
    type=texts,
    source=texts,
    time_ms=st.integers(0, LAST_MS),
    subject=texts,
    tenant=texts,
    reply_partition=st.integers(0, 4095),
    deadline_ms=numbers,
    epoch=numbers,
    traceparent=st.text(),
)


@given(envelopes)
@example(ENVELOPE)
def test_an_envelope_comes_back_from_its_headers(envelope: Envelope) -> None:
    assert from_headers(to_headers(envelope)) == envelope


def test_headers_are_cloudevents_in_kafka_binary_mode() -> None:
    assert to_headers(ENVELOPE) == [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"8c5ab4f6f1f64f7a9a1d2b3c4d5e6f70"),
        ("ce_type", b"penstock.chat.requested.v1"),
        ("ce_source", b"gateway"),
        ("ce_time", b"2025-11-24T16:00:00.123Z"),
        ("ce_subject", b"019ab6a3-6e7b-7005-8f3c-5d2a9b1c4e6f"),
        ("ce_tenant", b"acme"),
        ("ce_epoch", b"7"),
        ("content-type", b"application/json"),
        ("ce_replypartition", b"5"),
        ("ce_deadline", b"1764000060123"),
        ("traceparent", TRACEPARENT.encode()),
    ]


def test_what_may_be_absent_has_its_default() -> None:
    envelope = from_headers([(name, HEADERS[name]) for name in REQUIRED])

    assert (envelope.deadline_ms, envelope.epoch) == (0, 0)
    assert envelope.reply_partition == 5  # the request's id carries it
    assert envelope.traceparent == ""
    assert "traceparent" not in dict(to_headers(envelope))


def test_a_document_has_no_reply_partition() -> None:
    given = {name: HEADERS[name] for name in REQUIRED} | {"ce_subject": b"a-document"}
    assert from_headers(given.items()).reply_partition == 0


def test_a_piece_of_an_answer_does_not_repeat_what_its_request_says() -> None:
    headers = to_headers(ENVELOPE, streamed=True)
    envelope = from_headers(headers)
    assert {name for name, _ in headers} == {*REQUIRED, "ce_epoch"}
    assert (envelope.subject, envelope.epoch, envelope.reply_partition) == (ENVELOPE.subject, 7, 5)


def test_unknown_headers_are_ignored() -> None:
    assert from_headers([*HEADERS.items(), ("ce_shard", b"\xff"), ("x-note", None)]) == ENVELOPE


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("absent", ["not there", "null"])
def test_a_missing_header_is_refused_by_name(name: str, absent: str) -> None:
    headers: dict[str, bytes | None] = {**HEADERS}
    if absent == "null":
        headers[name] = None
    else:
        del headers[name]

    with pytest.raises(InvalidEvent, match=f"^header {name} is missing$"):
        from_headers(headers.items())


@pytest.mark.parametrize("name", [name for name in REQUIRED if name not in ("ce_specversion", "ce_time")])
def test_an_empty_header_is_refused_by_name(name: str) -> None:
    with pytest.raises(InvalidEvent, match=f"^header {name} is empty$"):
        from_headers({**HEADERS, name: b""}.items())


@pytest.mark.parametrize("name", list(HEADERS))
def test_a_header_that_is_not_utf8_is_refused_by_name(name: str) -> None:
    with pytest.raises(InvalidEvent, match=f"^header {name} is not UTF-8$"):
        from_headers({**HEADERS, name: b"\xc3\x28"}.items())


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["", "-1", "+1", "1.5", "1e3", " 1", "1_000", "soon", "٣", "9" * 19])
def test_a_header_that_is_no_whole_number_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(InvalidEvent, match=f"^header {name} is not a whole number$"):
        from_headers({**HEADERS, name: value.encode()}.items())


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("ce_specversion", "0.3", "is not 1.0"),
        ("content-type", "text/plain", "is not application/json"),
        ("content-type", "", "is not application/json"),
        ("ce_replypartition", "4096", "is above 4095"),
        ("ce_time", "", "is empty"),
        ("ce_time", "yesterday", "is not RFC 3339"),
        ("ce_time", "1764000000123", "is not RFC 3339"),
        ("ce_time", "2025-02-30T12:00:00Z", "is not RFC 3339"),
        ("ce_time", "2025-11-24T12:00:00", "has no time zone"),
        ("ce_time", "1969-12-31T23:59:59.999Z", "is out of range"),
        ("ce_time", "9999-12-31T23:59:59-01:00", "is out of range"),
    ],
)
def test_other_faults_are_refused_by_name(name: str, value: str, fault: str) -> None:
    with pytest.raises(InvalidEvent, match=f"^header {name} {re.escape(fault)}$"):
        from_headers({**HEADERS, name: value.encode()}.items())


def test_a_time_in_another_zone_is_the_same_time() -> None:
    headers = {**HEADERS, "ce_time": b"2025-11-24T17:30:00.123+01:30"}

    assert from_headers(headers.items()) == ENVELOPE


header_values = st.none() | st.binary() | st.text().map(str.encode) | st.datetimes().map(str).map(str.encode)


@given(st.lists(st.tuples(st.sampled_from(list(HEADERS)) | st.text(), header_values)), st.booleans())
def test_arbitrary_headers_are_read_or_refused(given: list[tuple[str, bytes | None]], whole: bool) -> None:
    headers = [*HEADERS.items(), *given] if whole else given
    try:
        envelope = from_headers(headers)
    except InvalidEvent:
        return
    assert from_headers(to_headers(envelope)) == envelope


@given(envelopes, st.integers(0, 10**6))
def test_a_caused_envelope_keeps_what_belongs_to_the_request(envelope: Envelope, nth: int) -> None:
    caused = envelope.caused("penstock.chat.tokenized.v1", nth=nth, source="tokenization", time_ms=12)

    assert (caused.type, caused.source, caused.time_ms) == ("penstock.chat.tokenized.v1", "tokenization", 12)
    for field in ("subject", "tenant", "reply_partition", "deadline_ms", "epoch", "traceparent"):
        assert getattr(caused, field) == getattr(envelope, field)


def test_a_caused_envelope_takes_the_span_of_the_sender() -> None:
    caused = ENVELOPE.caused("t", nth=0, source="tokenization", time_ms=0, traceparent="00-aa-bb-01")

    assert caused.traceparent == "00-aa-bb-01"


def test_a_repeated_handling_gives_the_same_id_and_no_other_event_has_it() -> None:
    ids = {
        derived_id(cause, source, nth) for cause in ("a", "b") for source in ("g", "h") for nth in range(50)
    }

    assert len(ids) == 200
    assert derived_id("a", "g", 7) == derived_id("a", "g", 7)
    first = ENVELOPE.caused("t", nth=3, source="generation", time_ms=1)
    again = ENVELOPE.caused("t", nth=3, source="generation", time_ms=2)
    assert first.id == again.id != ENVELOPE.id
