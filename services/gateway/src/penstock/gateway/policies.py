"""What answers rest on where a request does not say: the rule of its stores, else the tenant's, else ours."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import structlog

from penstock.gateway.domain.errors import ApiError
from penstock.gateway.single_flight import SingleFlight
from penstock.messages.chat import AnswersFrom
from penstock.messages.search import DEFAULT_STORE

KEPT_S = 5.0
"""For so long a rule counts before it is looked up again, and a failed look-up before the next one."""
PATIENCE_S = 1.0
"""How long a rule that is known already may take to be looked up again."""
FIRST_PATIENCE_S = 5.0
"""How long one that is not known: then the stack's own counts, which may be laxer."""
MOST = 8192
_STRICTEST_FIRST: tuple[AnswersFrom, ...] = ("quote", "documents", "model")
log = structlog.get_logger(__name__)


class _Known(NamedTuple):
    rule: AnswersFrom | None
    until: float


class Policies:
    """The rules of stores; the rule of a tenant's default store is the tenant's.

    `look_up` returns the rule of a tenant's store, None if it has none, and may raise ApiError. While it
    fails, what was known last counts: an answer does not wait for the ingestion service. `now` gives seconds.
    """

    def __init__(
        self,
        look_up: Callable[[str, str], Awaitable[AnswersFrom | None]],
        ours: AnswersFrom,
        now: Callable[[], float],
    ) -> None:
        self._look_up = look_up
        self._ours = ours
        self._now = now
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()
        self._looking = SingleFlight[tuple[str, str], AnswersFrom | None]("policy")

    async def answers_for(self, tenant: str, stores: Sequence[str]) -> AnswersFrom:
        """Return what an answer from these stores rests on; of several rules the strictest."""
        named = {await self._rule(tenant, store) for store in stores}
        for rule in _STRICTEST_FIRST:
            if rule in named:
                return rule
        return await self._rule(tenant, DEFAULT_STORE) or self._ours

    async def _rule(self, tenant: str, store: str) -> AnswersFrom | None:
        one = (tenant, store)
        known = self._known.get(one)
        if known is not None and self._now() < known.until:
            return known.rule
        return await self._looking.do(one, lambda: self._renewed(one))

    async def _renewed(self, one: tuple[str, str]) -> AnswersFrom | None:
        before = self._known.get(one)
        try:
            async with asyncio.timeout(PATIENCE_S if before else FIRST_PATIENCE_S):
                rule = await self._look_up(*one)
        except (ApiError, TimeoutError) as error:
            log.warning("policy_not_looked_up", reason=str(error) or "no answer in time", store=one[1])
            rule = before.rule if before else None
        self._known[one] = _Known(rule, self._now() + KEPT_S)
        self._known.move_to_end(one)
        if len(self._known) > MOST:
            self._known.popitem(last=False)
        return rule
