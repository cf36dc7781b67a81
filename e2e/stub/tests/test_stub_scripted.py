"""Scripted answers: named by a mark in the question, the same from wherever they are continued."""

import asyncio

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2e.stub.answer import Answer
from e2e.stub.scripted import Script, ended, expected, mark, rest, script_of, strays
from e2e.stub.text import chat_prompt
from e2e.stub.wire import Behaviour, GenerateRequest, Parameters

SCRIPTS = st.builds(
    Script, st.from_regex(r"[a-z0-9]{1,6}", fullmatch=True), st.integers(0, 80), st.booleans()
)


def prompt(script: Script, passages: str = "") -> str:
    return chat_prompt([("system", "Be brief."), ("user", f"{passages}What is it? {mark(script)} Thanks.")])


def written(script: Script, before: str, max_new_tokens: int | None, stop: str) -> tuple[str, str, list[str]]:
    """Text, reason and tokens of one request to the stub."""
    parameters = Parameters(max_new_tokens=max_new_tokens, stop=[stop] if stop else None)
    answer = Answer(GenerateRequest(prompt(script) + before, parameters), Behaviour())
    texts = [token.text for token in answer.tokens() if not token.special]
    return "".join(texts), answer.reason, texts


@given(SCRIPTS, st.text(max_size=40))
def test_the_text_depends_on_the_mark_and_not_on_what_stands_around_it(script: Script, passages: str) -> None:
    assert script_of(prompt(script, passages)) == (script, "")
    assert script_of(prompt(script, mark(Script("other", 3)) + passages)) == (script, "")


@given(SCRIPTS, st.integers(1, 90), st.data())
def test_a_cut_after_any_character_changes_neither_text_nor_tokens_nor_reason(
    script: Script, max_tokens: int, data: st.DataObject
) -> None:
    text, reason, tokens = written(script, "", max_tokens, "")
    cut = data.draw(st.integers(0, len(text)))
    seen, counted, so_far = 0, 0, ""
    for index, token in enumerate(tokens, 1):  # as generation counts: tokens whose text is visible whole
        so_far += token
        if token and len(so_far) <= cut:
            seen, counted = len(so_far), index
    assert seen <= cut
    if counted == max_tokens:
        return  # nothing is left to ask for
    more, reason_then, tokens_then = written(script, text[:cut], max_tokens - counted, "")
    assert text[:cut] + more == text
    assert (counted + len(tokens_then), reason_then) == (len(tokens), reason)


@given(SCRIPTS.filter(lambda script: script.tokens > 8), st.data())
def test_a_stop_sequence_ends_a_continued_answer_where_it_ends_the_uncut_one(
    script: Script, data: st.DataObject
) -> None:
    whole = "".join(rest(script, ""))
    begin = data.draw(st.integers(5, len(whole) - 4))
    stop = whole[begin : begin + 3]
    first = whole.index(stop)
    text, reason, _ = written(script, "", None, stop)
    cut = data.draw(st.integers(0, first))
    more, reason_then, _ = written(script, text[:cut], None, stop)
    assert (text[:cut] + more, reason_then) == (text, reason) == (text, "stop_sequence")
    assert expected(script, None, stop).text == whole[:first].lstrip()


def test_what_a_client_should_read() -> None:
    script = Script("a", 30)
    whole = expected(script)
    assert (whole.finish_reason, whole.tokens) == ("stop", 30)
    assert expected(script, 30).finish_reason == "length"
    assert expected(script, 31) == whole
    assert whole.text.startswith(expected(script, 12).text)
    assert whole.text[0] not in " \n"


def test_an_answer_that_loops_is_read_as_far_as_the_guard_lets_it() -> None:
    script = Script("a", 200, loops=True)
    whole = expected(script)
    assert whole.finish_reason == "stop"
    assert whole.tokens < 60
    assert "".join(rest(script, "")).lstrip().startswith(whole.text)
    assert expected(Script("a", 6, loops=True)).tokens == 6


def test_texts_hold_wide_characters_lines_and_tokens_without_text() -> None:
    texts = [rest(Script(f"name{n}", 60), "") for n in range(40)]
    joined = "".join("".join(text) for text in texts)
    assert {"é", "門", "𝄞", "\n"} <= set(joined)
    assert any("" in text for text in texts)
    assert len({"".join(text) for text in texts}) == 40


def test_a_text_that_is_no_prefix_strays() -> None:
    script = Script("a", 30)
    text = expected(script).text
    assert not strays(script, f" {text[:20]}")
    assert strays(script, f" {text[:20]}{text[15:40]}")


def test_no_tokens_left_end_at_once() -> None:
    assert ended((), 5, []) == ((), "eos_token")
    assert ended(("a",), 1, []) == (("a",), "length")


async def stream(stub: httpx2.AsyncClient, inputs: str) -> int:
    """Return how many events arrive before the stream's end; raises if it breaks off."""
    events = 0
    async with stub.stream("POST", "/generate_stream", json={"inputs": inputs}) as response:
        async for data in response.aiter_raw():
            events += data.count(b"data:")
    return events


async def test_a_cut_befalls_each_answer_once(stub: httpx2.AsyncClient) -> None:
    one, other = prompt(Script("one", 9)), prompt(Script("other", 9))
    await stub.post("/faults", json={"cut_at": 4})
    for inputs in (one, other):
        with pytest.raises(httpx2.RemoteProtocolError):
            await stream(stub, inputs)
    assert await stream(stub, one) == 9
    counted = (await stub.get("/stub/stats")).json()
    assert (counted["broken"], counted["running"], counted["tokens"]) == (2, 0, 17)


async def test_a_stalled_stream_keeps_its_slot_until_the_client_goes(stub: httpx2.AsyncClient) -> None:
    await stub.post("/faults", json={"stall_at": 2})
    stalled = asyncio.create_task(stream(stub, prompt(Script("one", 9))))
    async with asyncio.timeout(5):
        while (await stub.get("/stub/stats")).json()["broken"] == 0:
            continue
    running = (await stub.get("/stub/running")).json()
    assert [answer["script"] for answer in running] == ["one"]
    stalled.cancel()
    async with asyncio.timeout(5):
        while (await stub.get("/stub/running")).json():
            continue


async def test_answers_that_vary_go_on_otherwise_and_none_is_called_stray(stub: httpx2.AsyncClient) -> None:
    await stub.put("/stub/behaviour", json={"vary": True})
    inputs = prompt(Script("one", 12))
    texts = [(await stub.post("/generate", json={"inputs": inputs})).json()["generated_text"] for _ in "ab"]
    assert texts[0].lstrip() == expected(Script("one", 12)).text
    assert texts[1] != texts[0]
    assert (await stub.get("/stub/stats")).json()["strayed"] == 0
