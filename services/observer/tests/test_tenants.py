"""Nothing of one tenant is in any answer to another, whatever both have done."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from penstock.observer.settings import Settings
from penstock.streaming.adapters.memory import MemoryBroker
from services.observer.tests.stand import KEY, Line, MemoryLog, serving, span, until, who

TENANTS = ("acme", "globex")
step = st.tuples(
    st.sampled_from(TENANTS),
    st.sampled_from(["ask", "answer", "fail", "cancel", "bury", "span", "child", "shared", "link", "steal"]),
    st.integers(0, 2),
)
PATHS = (
    "requests",
    "requests?tenant={other}",
    "usage",
    "usage?bucket=day&tenant={other}",
    "requests?q={stolen}",
)


class Deeds:
    """Does what two tenants do, and remembers whose each id is."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.requests: dict[str, list[str]] = {tenant: [] for tenant in TENANTS}
        self.traces: dict[str, list[bytes]] = {tenant: [] for tenant in TENANTS}
        self.spans: list[object] = []
        self.number = 0

    def _request(self, tenant: str, at: int) -> str:
        mine = self.requests[tenant]
        return mine[at % len(mine)] if mine else ""

    def _trace(self, tenant: str) -> bytes:
        """A trace of its own, whose id tells whose it is."""
        self.number += 1
        trace_id = tenant.encode().ljust(8, b"-") + self.number.to_bytes(8, "big")
        self.traces[tenant].append(trace_id)
        return trace_id

    async def do(self, tenant: str, deed: str, at: int) -> None:
        other = TENANTS[1 - TENANTS.index(tenant)]
        request_id = self._request(tenant, at)
        if deed == "ask":
            self.requests[tenant].append(await self.line.asked(tenant, f"key-of-{tenant}"))
        elif request_id:
            await self._go_on(tenant, other, deed, request_id, at)

    async def _go_on(self, tenant: str, other: str, deed: str, request_id: str, at: int) -> None:
        self.number += 1
        ours = {"request_id": request_id, "tenant": tenant, "name": f"span of {tenant}"}
        if deed == "answer":
            await self.line.answered(request_id, tenant)
        elif deed == "fail":
            await self.line.failed(request_id, tenant)
        elif deed == "cancel":
            await self.line.cancelled(request_id, tenant)
        elif deed == "bury":
            await self.line.bury(request_id, tenant)
        elif deed == "span":
            self.spans.append(span(self._trace(tenant), self.number, **ours))
        elif deed == "child":  # it says nothing of itself
            trace_id = self._trace(tenant)
            self.spans.append(span(trace_id, self.number, **ours))
            self.spans.append(
                span(trace_id, self.number + 1_000, parent=self.number, name=f"child of {tenant}")
            )
        elif deed == "shared":  # a client of both gives both the same trace
            self.spans.append(span(b"shared".ljust(16, b"-"), self.number, **ours))
        elif deed == "link":
            self.spans.append(
                span(self._trace(tenant), self.number, links=[*self.traces[other][-2:]], **ours)
            )
        elif deed == "steal" and self._request(other, at):  # a record under another's id
            await self.line.asked(tenant, f"key-of-{tenant}", request_id=self._request(other, at))

    def not_for(self, tenant: str) -> list[str]:
        """What an answer to a tenant must not hold."""
        other = TENANTS[1 - TENANTS.index(tenant)]
        return [other, *self.requests[other], *(trace_id.hex() for trace_id in self.traces[other])]


@settings(max_examples=12, deadline=None)
@given(steps=st.lists(step, max_size=14))
async def test_no_call_returns_anything_of_another_tenant(steps: list[tuple[str, str, int]]) -> None:
    log = MemoryLog(MemoryBroker())
    deeds = Deeds(Line(log.broker))
    with tempfile.TemporaryDirectory() as folder:
        async with serving(
            log, Settings(state=Path(folder), observer_port=0, observer_key=SecretStr(KEY))
        ) as console:
            for tenant in TENANTS:
                for deed in ("ask", "span"):
                    await deeds.do(tenant, deed, 0)
            for taken in steps:
                await deeds.do(*taken)
            await console.spans(*deeds.spans)  # type: ignore[arg-type]

            async def caught_up() -> bool:
                known = (await console.get("requests")).json()["requests"]
                return {one["id"] for one in known} == {*deeds.requests["acme"], *deeds.requests["globex"]}

            await until(caught_up)
            for tenant in TENANTS:
                other = TENANTS[1 - TENANTS.index(tenant)]
                stolen = deeds.requests[other]
                paths = [path.format(other=other, stolen=(stolen or ["x"])[0]) for path in PATHS]
                answers = [
                    (await console.client.get(f"/console/api/{p}", headers=who(tenant))) for p in paths
                ]
                answers += [await console.get(f"requests/{mine}", tenant) for mine in deeds.requests[tenant]]
                assert {done.status_code for done in answers} == {200}
                for done in answers:
                    assert not [text for text in deeds.not_for(tenant) if text in done.text]
                for request_id in stolen:
                    refused = await console.get(f"requests/{request_id}", tenant)
                    assert refused.status_code == 404
