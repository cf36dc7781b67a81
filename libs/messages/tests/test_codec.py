"""Bodies: every event comes back from its JSON, and no bytes raise anything but InvalidEvent."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import inspect

from penstock.messages.chat import ChatRequested, Message, Sampling
from penstock.messages.codec import decode, encode, event_types
from penstock.messages.documents import DocumentDeleted
from penstock.messages.event import Event, InvalidEvent
from penstock.messages.search import Filter

DELETED = DocumentDeleted(document_id="handbook.md", version=1_764_000_000_123)


_keys = st.text(min_size=1, max_size=64)
_numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
_scalars = st.text(max_size=20) | _numbers | st.booleans()
_lists = st.lists(_scalars, max_size=3).map(tuple)
_comparisons = st.one_of(
    st.builds(Filter, type=st.sampled_from(["eq", "ne"]), key=_keys, value=_scalars),
    st.builds(Filter, type=st.sampled_from(["gt", "gte", "lt", "lte"]), key=_keys, value=_numbers),
    st.builds(Filter, type=st.sampled_from(["in", "nin"]), key=_keys, value=_lists),
)
_filters = _comparisons | st.builds(
    Filter,
    type=st.sampled_from(["and", "or"]),
    filters=st.lists(_comparisons, min_size=1, max_size=3).map(tuple),
)


def values(kind: inspect.Type) -> st.SearchStrategy[Any]:
    """Return a strategy for the values of a msgspec type, within its bounds."""
    match kind:
        case inspect.StructType(cls=cls) if cls is Filter:  # which has rules beyond its types
            return _filters
        case inspect.StructType(cls=cls, fields=fields):
            return st.builds(cls, **{field.name: values(field.type) for field in fields})
        case inspect.VarTupleType(item_type=item, min_length=shortest, max_length=longest):
            several = st.lists(values(item), min_size=shortest or 0, max_size=longest or 3)
            return several.map(tuple)
        case inspect.DictType(key_type=key, value_type=value, max_length=longest):
            return st.dictionaries(values(key), values(value), max_size=min(3, longest or 3))
        case inspect.UnionType(types=types):
            return st.one_of([values(each) for each in types])
        case inspect.LiteralType(values=literals):
            return st.sampled_from(literals)
    return _plain(kind)


def _plain(kind: inspect.Type) -> st.SearchStrategy[Any]:
    match kind:
        case inspect.StrType(min_length=shortest, max_length=longest):
            return st.text(min_size=shortest or 0, max_size=longest)
        case inspect.IntType(ge=least, le=most):
            return st.integers(-(2**63) if least is None else least, 2**63 - 1 if most is None else most)
        case inspect.FloatType(gt=above, ge=least, le=most):
            low = above if least is None else least
            excluded = above is not None
            return st.floats(low, most, exclude_min=excluded, allow_nan=False, allow_infinity=False)
        case inspect.BytesType():
            return st.binary(max_size=32)
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
    raise NotImplementedError(f"no strategy for {kind}")


events: st.SearchStrategy[Event] = st.one_of(
    [values(inspect.type_info(cls)) for _, cls in sorted(event_types().items())]
)


@given(events)
def test_every_event_comes_back_from_its_body(event: Event) -> None:
    assert decode(event.TYPE, encode(event)) == event


leaves = st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@given(
    events, st.text(), st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_an_unknown_field_is_ignored(event: Event, name: str, value: object) -> None:
    body = {**json.loads(encode(event)), f"new_{name}": value}

    assert decode(event.TYPE, json.dumps(body).encode()) == event


@given(st.sampled_from(sorted(event_types())), st.binary())
def test_arbitrary_bytes_are_refused(event_type: str, body: bytes) -> None:
    assume(not body.lstrip().startswith(b"{"))  # an object suffices for events that require no field
    with pytest.raises(InvalidEvent, match=f"^{event_type}: "):
        decode(event_type, body)


@given(events, st.data())
def test_a_damaged_body_is_read_or_refused(event: Event, data: st.DataObject) -> None:
    body = bytearray(encode(event))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    try:
        read = decode(event.TYPE, bytes(body))
    except InvalidEvent:
        return
    assert decode(event.TYPE, encode(read)) == read


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "Input data was truncated"),
        (b"nonsense", "JSON is malformed"),
        (b'{"document_id":"a","version":1', "Input data was truncated"),
        (b'{"document_id":"a","version":1}{}', "JSON is malformed: trailing characters"),
        (b'\xef\xbb\xbf{"document_id":"a","version":1}', "JSON is malformed"),
        (b'{"document_id":"\xff","version":1}', "'utf-8' codec can't decode byte 0xff"),
        (b'{"document_id":"\\ud800","version":1}', "JSON is malformed"),
        (b'{"document_id":"a","version":NaN}', "JSON is malformed"),
        (b'{"document_id":"a","version":1.0}', "Expected `int`, got `float` - at `$.version`"),
        (b'{"document_id":"a","version":true}', "Expected `int`, got `bool` - at `$.version`"),
        (
            b'{"document_id":"a","version":' + b"9" * 5000 + b"}",
            "Integer value out of range - at `$.version`",
        ),
        (b'{"document_id":"a"}', "Object missing required field `version`"),
        (b"null", "Expected `object`, got `null`"),
        (b"[]", "Expected `object`, got `array`"),
        (b'{"future":' + b"[" * 100_000, "JSON is nested too deeply"),
        (b'{"future":' + b'{"a":' * 100_000, "JSON is nested too deeply"),
    ],
)
def test_wrong_bodies_say_what_is_wrong(body: bytes, fault: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        decode(DELETED.TYPE, body)

    assert str(refused.value).startswith(f"penstock.document.deleted.v1: {fault}")


def test_a_record_without_a_body_is_refused() -> None:
    with pytest.raises(InvalidEvent, match=r"^penstock\.document\.deleted\.v1 without a body$"):
        decode(DELETED.TYPE, None)


@pytest.mark.parametrize("event_type", ["", "penstock.document.deleted.v2", "PENSTOCK.DOCUMENT.DELETED.V1"])
def test_an_unknown_type_is_refused(event_type: str) -> None:
    with pytest.raises(InvalidEvent, match=f"^unknown event type '{event_type}'$"):
        decode(event_type, encode(DELETED))


@pytest.mark.parametrize("role", ["my secret", "two\nlines", "quoted ' - at ` path"])
def test_a_refusal_never_quotes_the_body(role: str) -> None:
    body = {"model": "m", "messages": [{"role": role, "content": "my secret"}], "sampling": {}}

    with pytest.raises(InvalidEvent) as refused:
        decode(ChatRequested.TYPE, msgspec.json.encode(body))

    assert str(refused.value) == ("penstock.chat.requested.v1: Invalid enum value - at `$.messages[0].role`")
    assert refused.value.__suppress_context__  # a logged traceback does not show msgspec's message either


def test_a_body_is_plain_json_with_every_field() -> None:
    event = ChatRequested(
        model="smollm2-135m-instruct",
        messages=(Message(role="user", content="Wofür steht ‘head’?"),),
        sampling=Sampling(max_tokens=64),
    )

    assert json.loads(encode(event)) == {
        "model": "smollm2-135m-instruct",
        "messages": [{"role": "user", "content": "Wofür steht ‘head’?"}],
        "sampling": {
            "max_tokens": 64,
            "temperature": None,
            "top_p": None,
            "frequency_penalty": None,
            "seed": None,
            "stop": [],
        },
        "background": False,
        "search": {"stores": [], "filters": None, "max_results": None, "min_score": None},
        "api_key": "",
        "answers": "model",
        "may_quote": False,
    }
