"""What an answer rests on: the documents alone, their own words, or a model."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from e2e.stack import Stack

ELSEWHERE = "Who won the World Cup of 1998 in France?"
NO_TOKENS = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


def ask(stack: Stack, question: str, **more: object) -> tuple[Any, Any]:
    """Return the answer's message and its usage."""
    body = {"model": stack.model, "messages": [{"role": "user", "content": question}], **more}
    response = stack.post(body)
    assert response.status_code == 200, response.text
    answer = response.json()
    return answer["choices"][0]["message"], answer["usage"]


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (ELSEWHERE, "The documents do not say."),
        ("Wer hat 1998 die Weltmeisterschaft gewonnen?", "Das steht nicht in den Dokumenten."),
    ],
)
def test_what_the_documents_do_not_hold_is_said_without_a_model(
    indexed: Stack, question: str, said: str
) -> None:
    message, usage = ask(indexed, question, answers="documents")
    assert message["content"] == said
    assert (message["grounding"], message["citations"]) == ("not_found", [])
    assert usage == NO_TOKENS


def test_what_the_documents_hold_is_answered_by_the_model(indexed: Stack) -> None:
    message, _ = ask(indexed, "What is a penstock?", answers="documents", max_tokens=32)
    assert message["grounding"] == "supported"


def test_documents_are_quoted_without_a_model(indexed: Stack) -> None:
    message, usage = ask(indexed, "What is a penstock?", answers="quote")
    assert message["grounding"] == "quoted"
    assert usage == NO_TOKENS
    assert message["citations"]
    for citation in message["citations"]:
        assert f"“{citation['quote']}” [{citation['index']}]" in message["content"]


def test_the_command_asks_for_quotes_and_says_that_they_are(indexed: Stack) -> None:
    asked = indexed.run("ask", "What is a penstock?", "--answers", "quote")
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.startswith("The documents say:")
    assert "no model was asked" in asked.stdout
    assert "What a penstock is" in asked.stdout.partition("Citations")[2]


def test_an_unknown_policy_is_refused(stack: Stack) -> None:
    body = {"model": stack.model, "messages": [{"role": "user", "content": "?"}], "answers": "guess"}
    response = stack.post(json.dumps(body).encode())
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "answers"


def test_a_rule_of_the_tenants_counts_where_a_question_does_not_say(indexed: Stack) -> None:
    assert indexed.run("documents", "policy", "documents").stdout.strip() == "documents"
    try:
        _until(lambda: ask(indexed, ELSEWHERE)[1] == NO_TOKENS)
        assert ask(indexed, ELSEWHERE, answers="model")[1] != NO_TOKENS
    finally:
        indexed.run("documents", "policy", "none")
    _until(lambda: ask(indexed, ELSEWHERE)[1] != NO_TOKENS)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15  # a gateway knows of a new rule 5 s later
    while not condition():
        assert time.monotonic() < deadline, "the rule did not count in time"
        time.sleep(0.5)
