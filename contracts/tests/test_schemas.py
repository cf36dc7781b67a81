"""The schemas: valid JSON Schema, described, and saying of headers what the code does."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from rendering.schemas import envelope_schema, schemas

from penstock.messages.codec import event_types
from penstock.messages.envelope import Envelope, from_headers, to_headers
from penstock.messages.event import InvalidEvent

SCHEMAS = schemas()
HEADERS = {
    name: value.decode()
    for name, value in to_headers(
        Envelope(id="1", type="t", source="gateway", time_ms=1_764_000_000_123, subject="s", tenant="acme")
    )
}


def test_every_event_and_the_envelope_have_a_schema() -> None:
    assert set(SCHEMAS) == {f"{name}.json" for name in [*event_types(), "envelope"]}


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_a_schema_is_valid_and_says_what_it_is(name: str) -> None:
    schema = SCHEMAS[name]

    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == name
    assert schema["title"]
    assert schema["description"]
    assert schema["type"] == "object"


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_every_reference_in_a_schema_resolves(name: str) -> None:
    text = json.dumps(SCHEMAS[name])
    parts = SCHEMAS[name].get("$defs", {})

    for part in parts:
        assert f'"#/$defs/{part}"' in text
    assert text.count('"$ref"') == sum(text.count(f'"$ref": "#/$defs/{part}"') for part in parts)


def test_required_headers_are_those_the_code_requires() -> None:
    assert envelope_schema()["required"] == [
        "ce_specversion",
        "ce_id",
        "ce_type",
        "ce_source",
        "ce_time",
        "ce_subject",
        "ce_tenant",
    ]


def _code_takes(headers: dict[str, str]) -> bool:
    try:
        from_headers([(name, value.encode()) for name, value in headers.items()])
    except InvalidEvent:
        return False
    return True


texts = st.text().filter(lambda text: not text.endswith("\n"))  # which Python's `$` lets pass


@given(
    st.sampled_from(sorted(HEADERS.keys() - {"ce_time"})),  # a time is read in more forms than RFC 3339 has
    texts | st.from_regex(r"\A[0-9]{1,20}\Z") | st.sampled_from(["1.0", "application/json"]),
)
def test_the_schema_accepts_the_headers_that_the_code_reads(name: str, value: str) -> None:
    headers = {**HEADERS, name: value}
    accepted = Draft202012Validator(envelope_schema()).is_valid(headers)

    if _code_takes(headers):
        assert accepted
    elif name != "ce_replypartition":  # whose upper bound a pattern cannot say
        assert not accepted
