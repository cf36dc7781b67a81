"""Backend addresses: what is taken, and that a wrong one says how it should look."""

import pytest

from penstock.messages.backends import LOCAL, Backend, parse_backends


def test_several_backends_in_one_setting() -> None:
    assert parse_backends(" tgi+http://a:1/ ,tgi+https://b,") == (
        Backend("tgi", "http://a:1"),
        Backend("tgi", "https://b"),
    )
    assert parse_backends(LOCAL) == (Backend("tgi", "http://127.0.0.1:8081"),)


@pytest.mark.parametrize(
    "text", ["", ",", "http://a:1", "vllm+http://a:1", "tgi+ftp://a", "tgi+http://", "tgi"]
)
def test_a_wrong_address_says_what_is_expected(text: str) -> None:
    with pytest.raises(ValueError, match=r"tgi\+http://"):
        parse_backends(text)


def test_an_address_holds_no_secret_and_none_is_repeated() -> None:
    with pytest.raises(ValueError, match="a key is a setting of its own") as raised:
        parse_backends("tgi+http://user:hidden@a:1")
    assert "hidden" not in str(raised.value)
