"""The two stages of retrieval: questions, which have a deadline, and documents, which have none."""

from penstock.messages.topics import CHAT_RETRIEVED, CHAT_TOKENIZED, DOCUMENTS_CHUNKED, DOCUMENTS_DELETED
from penstock.retrieval.adapters.retrying_embedder import RetryingEmbedder
from penstock.retrieval.ahead import Ahead
from penstock.retrieval.handler import Indexer, Retriever
from penstock.retrieval.ports import Embedder, Opened
from penstock.retrieval.relevance_floor import RelevanceFloor
from penstock.retrieval.searching import Searcher
from penstock.retrieval.settings import Settings
from penstock.streaming.stage import Batch, Each, Stage

SERVICE = "retrieval"
PARTS_AT_ONCE = 16


def questions(searcher: Searcher, floor: RelevanceFloor, ahead: Ahead, settings: Settings) -> Stage:
    """Return the stage that answers questions, which are shared out among the replicas."""
    each = Each(ahead.noting(Retriever(searcher, floor).retrieve), lambda: settings.retrieval_concurrency)
    return Stage(SERVICE, (CHAT_TOKENIZED,), each, failures=CHAT_RETRIEVED)


def documents(embedder: Embedder, opened: Opened, settings: Settings) -> Stage:
    """Return the stage that fills an index: it reads all documents, in a group for this index alone."""
    indexer = Indexer(
        RetryingEmbedder(embedder), opened.index, settings.embedding_size, announces=settings.announces
    )
    group = f"{settings.instance}-indexer-{opened.id}"
    return Stage(
        group, (DOCUMENTS_CHUNKED, DOCUMENTS_DELETED), Batch(indexer.index, PARTS_AT_ONCE), failures=None
    )
