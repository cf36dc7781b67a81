"""What answers rest on where a request does not say."""

import asyncio
import json
from typing import Any

import pytest
from starlette.types import Receive, Send

from penstock.gateway.domain import errors
from penstock.gateway.policies import KEPT_S, Policies
from penstock.messages.chat import AnswersFrom
from penstock.messages.search import DEFAULT_STORE
from services.gateway.tests.upstream import Seen, Upstream, body, start


class Rules:
    """Rules of stores, counted look-ups, and a clock that is set by hand."""

    def __init__(self, **rules: AnswersFrom) -> None:
        self.rules: dict[str, AnswersFrom] = dict(rules)
        self.looked: list[tuple[str, str]] = []
        self.failing = self.hanging = False
        self.now = 0.0
        self.policies = Policies(self.look_up, "model", lambda: self.now)

    async def look_up(self, tenant: str, store: str) -> AnswersFrom | None:
        self.looked.append((tenant, store))
        if self.hanging:
            await asyncio.Event().wait()
        if self.failing:
            raise errors.upstream_failed("ingestion")
        await asyncio.sleep(0)
        return self.rules.get(store)

    async def of(self, *stores: str, tenant: str = "acme") -> AnswersFrom:
        return await self.policies.answers_for(tenant, stores)


async def test_a_stores_rule_comes_before_the_tenants_and_that_before_the_stacks() -> None:
    rules = Rules(vs_open="model", vs_strict="documents", vs_quote="quote", **{DEFAULT_STORE: "documents"})
    assert await rules.of() == "documents"
    assert await rules.of("vs_none") == "documents"
    assert await rules.of("vs_open") == "model"
    assert await rules.of("vs_open", "vs_strict") == "documents"
    assert await rules.of("vs_quote", "vs_strict", "vs_open") == "quote"
    assert await Rules().of("vs_none") == "model"


async def test_many_questions_at_once_look_a_rule_up_once_and_soon_again() -> None:
    rules = Rules(vs_a="documents")
    assert set(await asyncio.gather(*(rules.of("vs_a") for _ in range(50)))) == {"documents"}
    assert rules.looked == [("acme", "vs_a")]
    rules.rules["vs_a"] = "quote"
    assert await rules.of("vs_a") == "documents"
    rules.now += KEPT_S
    assert await rules.of("vs_a") == "quote"
    assert await rules.of("vs_a", tenant="other") == "quote"
    assert rules.looked[-1] == ("other", "vs_a")


@pytest.mark.parametrize("how", ["failing", "hanging"])
async def test_while_no_rule_can_be_looked_up_the_last_one_counts(how: str, monkeypatch: Any) -> None:
    monkeypatch.setattr("penstock.gateway.policies.PATIENCE_S", 0.01)
    monkeypatch.setattr("penstock.gateway.policies.FIRST_PATIENCE_S", 0.02)
    rules = Rules(vs_a="documents")
    await rules.of("vs_a")
    setattr(rules, how, True)
    rules.now += KEPT_S
    assert await rules.of("vs_a") == "documents"
    assert await rules.of("vs_new") == "model"
    looked = len(rules.looked)
    assert await rules.of("vs_a") == "documents"
    assert len(rules.looked) == looked, "a server that is away is not asked for each question"


async def test_a_rule_that_is_not_known_yet_is_waited_for_longer(monkeypatch: Any) -> None:
    monkeypatch.setattr("penstock.gateway.policies.PATIENCE_S", 0.01)
    rules = Rules(vs_a="documents")
    look_up = rules.look_up

    async def slowly(tenant: str, store: str) -> AnswersFrom | None:
        await asyncio.sleep(0.05)
        return await look_up(tenant, store)

    rules.policies = Policies(slowly, "model", lambda: rules.now)
    assert await rules.of("vs_a") == "documents"


async def test_a_client_that_leaves_takes_the_look_up_from_nobody() -> None:
    rules = Rules(vs_a="documents")
    leaving, staying = (asyncio.create_task(rules.of("vs_a")) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == "documents"


@pytest.mark.parametrize(
    ("status", "answer", "rule"),
    [
        (200, {"id": "vs_a", "answers": "documents"}, "documents"),
        (200, {"id": "vs_a", "answers": None}, "quote"),
        (200, {"id": "vs_a"}, "quote"),  # of a service of an earlier version
        (200, {"answers": "guesses"}, "quote"),
        (404, {"error": {}}, "quote"),
        (503, {"error": {}}, "quote"),
    ],
)
async def test_rules_are_those_that_ingestion_keeps(
    start_stand: Any, kit: Any, upstream: Upstream, status: int, answer: Any, rule: str
) -> None:
    async def store(seen: Seen, receive: Receive, send: Send) -> None:
        await seen.read(receive)
        mine = seen.target == b"/v1/vector_stores/vs_a%2F.."
        await send(start(status if mine else 404, content_type="application/json"))
        await send(body(json.dumps(answer).encode()))

    upstream.answer = store
    stand = await start_stand(ingestion=upstream.url, answers="quote")
    asking = asyncio.create_task(stand.ask(kit.body(vector_store_ids=["vs_a/.."])))
    assert (await stand.question()).event.answers == rule
    assert {one for seen in upstream.seen for one in seen.all_of("x-penstock-tenant")} == {"default"}
    asking.cancel()
