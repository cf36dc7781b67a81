"""Part three: what traces cost, with every request traced and exported to the stack's observer.

Both arms are one stack: a request says by the flag in its `traceparent` whether it is traced, and all
services go by that. So nothing differs between the arms but the spans: recorded, sent, and kept by the
observer, which shares the machine.
"""

from __future__ import annotations

from e2e.bench.against_stub import tell
from e2e.bench.load import wave
from e2e.bench.plan import Plan
from e2e.bench.processes import STUB, Processes
from e2e.bench.questions import DIFFERENT, messages
from e2e.bench.saturation import Saturation, saturate
from e2e.bench.stacks import Stack, StubProcess
from e2e.bench.targets import Through, new_client


async def measure(stack: Stack, stub: StubProcess, plan: Plan) -> Saturation:
    """Flood a stack whose model server is the stub; `direct` is the arm without traces."""
    processes = Processes({**stack.pids, STUB: stub.pid})
    async with new_client() as client:
        untraced, traced = (
            Through(client, stack.gateway, stack.key, stack.model, messages, words_are_tokens=True, traced=on)
            for on in (False, True)
        )
        await tell(client, stub, first_ms=plan.flood_inter_ms, inter_ms=plan.flood_inter_ms)
        for arm in (untraced, traced):
            await wave(arm, 16, 16, DIFFERENT)
        stack.say(f"saturation with {plan.flood.streams} streams, with and without traces")
        return await saturate((untraced, traced), plan.flood, plan.tracing_rounds, processes)
