"""What one tenant may see and remove of a Qdrant Edge shard: the one place where the tenant filter is set."""

from typing import cast

import qdrant_edge as qdrant

from penstock.retrieval.domain.fusion import RRF_K
from penstock.retrieval.domain.passages import Vector

DENSE = "dense"
SPARSE = "bm25"
TENANT = "tenant"
DOCUMENT = "document_id"
VERSION = "version"

_PREFETCH = 50
# The engine counts ranks from 0, the paper from 1: 1 / (61 + 0) = 1 / (60 + 1).
_RRF = cast(qdrant.Fusion, qdrant.Fusion.Rrf(k=RRF_K + 1))  # which its stubs do not know to be a Fusion


class TenantShard:
    """A shard as one tenant sees it. Every filter made here begins with the tenant."""

    def __init__(self, shard: qdrant.EdgeShard, tenant: str) -> None:
        self._shard = shard
        self._tenant = qdrant.FieldCondition(TENANT, match=qdrant.MatchValue(tenant))

    def search(self, words: qdrant.SparseVector, vector: Vector, limit: int) -> list[qdrant.ScoredPoint]:
        """Return the best points by dense and sparse search, fused by reciprocal rank.

        The statistics of BM25 are the tenant's own, too: another tenant's documents change no score.
        """
        mine = self._filter()
        by_meaning = qdrant.Prefetch(
            limit=_PREFETCH, query=qdrant.Query.Nearest(list(vector), using=DENSE), filter=mine
        )
        by_words = qdrant.Prefetch(
            limit=_PREFETCH,
            query=qdrant.Query.Nearest(words, using=SPARSE),
            filter=mine,
            params=qdrant.SearchParams(idf=qdrant.IdfParams(corpus=mine)),
        )
        return self._shard.query(
            qdrant.QueryRequest(
                limit=limit,
                query=_RRF,
                prefetches=[by_meaning, by_words],
                filter=mine,
                with_payload=True,
            )
        )

    def is_empty(self) -> bool:
        """Return whether the tenant has no points; unlike counting them, equally fast for any number."""
        points, _ = self._shard.scroll(
            qdrant.ScrollRequest(limit=1, filter=self._filter(), with_payload=False, with_vector=False)
        )
        return not points

    def count(self) -> int:
        """Return how many points the tenant has."""
        return self._shard.count(qdrant.CountRequest(filter=self._filter(), exact=True))

    def remove(self, document_id: str, below: int) -> None:
        """Remove the points of a document with a version lower than `below`."""
        self._shard.update(
            qdrant.UpdateOperation.delete_points_by_filter(
                self._filter(
                    qdrant.FieldCondition(DOCUMENT, match=qdrant.MatchValue(document_id)),
                    qdrant.FieldCondition(VERSION, range=qdrant.RangeFloat(lt=below)),
                )
            )
        )

    def _filter(self, *conditions: qdrant.FieldCondition) -> qdrant.Filter:
        return qdrant.Filter(must=[self._tenant, *conditions])
