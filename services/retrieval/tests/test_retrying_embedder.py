"""An embedder that waits for the one behind it."""

import pytest

from penstock.clients.tei import TeiEmbedder
from penstock.retrieval.adapters.retrying_embedder import RetryingEmbedder
from penstock.streaming.errors import PermanentError


async def test_a_patient_embedder_outlasts_trouble_but_not_a_refusal(tei_server) -> None:
    tei = TeiEmbedder(tei_server.url, 3)
    patient = RetryingEmbedder(tei, longest_wait=0.01)
    tei_server.statuses = [503, 429, 0, 500]
    assert await patient.embed(["ab"]) == [[2, 0.5, 1]]
    tei_server.statuses = [422]
    with pytest.raises(PermanentError):
        await patient.embed(["ab"])
    await tei.close()
