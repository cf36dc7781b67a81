"""Every example is tried against the code and the schemas: valid ones pass both, invalid ones neither."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from penstock.messages.chat import EpochStarted, GatewayStarted
from penstock.messages.codec import decode, encode, event_types
from penstock.messages.envelope import Envelope, from_headers, to_headers
from penstock.messages.event import Event, InvalidEvent
from penstock.messages.ids import reply_partition

CONTRACTS = Path(__file__).parent.parent
EXAMPLES = CONTRACTS / "examples"
Example = dict[str, Any]


def _paths(kind: str) -> list[Path]:
    return sorted(EXAMPLES.glob(f"*/{kind}/*.json"))


def _name(path: Path) -> str:
    return path.relative_to(EXAMPLES).as_posix()


def _load(path: Path) -> Example:
    example: Example = json.loads(path.read_text("utf-8"))
    return example


def _read(example: Example) -> tuple[Envelope, Event]:
    """Read an example as a service reads a record."""
    envelope = from_headers([(name, value.encode()) for name, value in example["headers"].items()])
    return envelope, decode(envelope.type, json.dumps(example["body"]).encode())


def _fits_schemas(example: Example) -> bool:
    body = CONTRACTS / "schemas" / f"{example['headers'].get('ce_type')}.json"
    return (
        body.exists()
        and _validator(CONTRACTS / "schemas" / "envelope.json").is_valid(example["headers"])
        and _validator(body).is_valid(example["body"])
    )


def _validator(schema: Path) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema.read_text("utf-8")))


@pytest.mark.parametrize("path", _paths("valid"), ids=_name)
def test_a_valid_example_is_read_and_comes_back(path: Path) -> None:
    example = _load(path)

    envelope, event = _read(example)

    assert _fits_schemas(example)
    assert from_headers(to_headers(envelope)) == envelope
    assert decode(event.TYPE, encode(event)) == event


@pytest.mark.parametrize("path", _paths("invalid"), ids=_name)
def test_an_invalid_example_is_refused_for_its_reason(path: Path) -> None:
    example = _load(path)

    with pytest.raises(InvalidEvent) as refused:
        _read(example)

    assert example["reason"] in str(refused.value)
    assert _fits_schemas(example) == example.get("schema_accepts", False)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*/*/*.json")), ids=_name)
def test_an_example_stands_in_the_folder_of_its_event(path: Path) -> None:
    folder, headers = path.parent.parent.name, _load(path)["headers"]

    assert folder in ("envelope", headers.get("ce_type"))


@pytest.mark.parametrize("event_type", sorted(event_types()))
def test_every_event_has_enough_examples(event_type: str) -> None:
    valid = {path.stem for path in (EXAMPLES / event_type / "valid").glob("*.json")}

    assert valid >= {"minimal", "full"}
    assert len(list((EXAMPLES / event_type / "invalid").glob("*.json"))) >= 3


def test_no_examples_are_left_of_events_that_are_gone() -> None:
    assert {path.name for path in EXAMPLES.iterdir()} == {*event_types(), "envelope"}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*/valid/full.json")), ids=_name)
def test_a_full_example_has_every_header_and_field(path: Path) -> None:
    example = _load(path)

    envelope, event = _read(example)

    assert {name: value.encode() for name, value in example["headers"].items()} == dict(to_headers(envelope))
    assert json.loads(encode(event)) == example["body"]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("penstock.*/valid/minimal.json")), ids=_name)
def test_a_minimal_example_has_no_field_to_spare(path: Path) -> None:
    example = _load(path)

    for field in example["body"]:
        body = {name: value for name, value in example["body"].items() if name != field}
        with pytest.raises(InvalidEvent, match=f"missing required field `{field}`"):
            _read({**example, "body": body})


@pytest.mark.parametrize("path", _paths("valid"), ids=_name)
def test_a_valid_example_keeps_what_the_types_cannot_say(path: Path) -> None:
    envelope, event = _read(_load(path))

    about_requests = not isinstance(event, EpochStarted | GatewayStarted)
    if about_requests and not event.TYPE.startswith("penstock.document."):
        assert envelope.reply_partition in (reply_partition(envelope.subject), 0)
    body = json.loads(encode(event))
    pieces = [
        piece for value in body.values() if isinstance(value, list) for piece in value if "end" in piece
    ]
    for piece in pieces:
        if quoted := piece.get("text") or piece.get("quote"):
            assert piece["end"] - piece["start"] == len(quoted)
