"""Paths that are passed on: the template's own places only, byte by byte."""

from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.gateway.domain.target import target_of

FILE = "/v1/files/{file_id}"
IN_STORE = "/v1/vector_stores/{vector_store_id}/files/{file_id}"


@pytest.mark.parametrize(
    ("template", "path"),
    [
        (FILE, b"/v1/files/file-abc"),
        (FILE, b"/v1/files/file%2Dabc"),
        (FILE, b"/v1/files/%C3%A4"),
        (FILE, b"/v1/files/..."),
        (IN_STORE, b"/v1/vector_stores/vs_1/files/file-2"),
        ("/v1/files", b"/v1/files"),
    ],
)
def test_an_instance_goes_as_it_came(template: str, path: bytes) -> None:
    assert target_of(template, path) == path


@pytest.mark.parametrize(
    "segment",
    [
        b"",
        b".",
        b"..",
        b"%2e%2E",
        b".%2e",
        b"a%2Fb",
        b"..%2f..%2finternal",
        b"a%5Cb",
        b"..%5c",
        b"%252e%252e",
        b"a%252Fb",
        b"a%3Fb=c",
        b"a%23b",
        b"a%00",
        b"a%0d%0aX: y",
        b"a%20b",
        b"a/b",
        b"a/../b",
        b"a\\b",
        b"..;/x",
    ],
)
def test_what_could_lead_elsewhere_is_no_instance(segment: bytes) -> None:
    assert target_of(FILE, b"/v1/files/" + segment) is None
    assert target_of(IN_STORE, b"/v1/vector_stores/" + segment + b"/files/f") is None
    assert target_of(IN_STORE, b"/v1/vector_stores/vs/files/" + segment) is None


@pytest.mark.parametrize(
    "path",
    [b"//v1/files/f", b"/v1//files/f", b"/%761/files/f", b"/v1/%66iles/f", b"/v1/files/f/", b"/v2/files/f"],
)
def test_what_the_template_says_stands_there_literally(path: bytes) -> None:
    assert target_of(FILE, path) is None


@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_whoever_decodes_it_once_or_twice_finds_one_segment(text: str) -> None:
    target = target_of(FILE, b"/v1/files/" + quote(text, safe="").encode())
    if target is not None:
        for decoded in (unquote(target.decode()), unquote(unquote(target.decode()))):
            assert decoded.startswith("/v1/files/")
            assert decoded.removeprefix("/v1/files/") not in ("", ".", "..")
            assert "/" not in decoded.removeprefix("/v1/files/")
