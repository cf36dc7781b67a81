"""Where a Qdrant server keeps the index that all replicas share (port: Home).

Each index is a collection of its own, and an alias names the current one: when it moves, every replica
searches the new one from its next question on.
"""

from secrets import token_hex

from qdrant_client import AsyncQdrantClient, models

from penstock.retrieval.adapters.points import DENSE
from penstock.retrieval.adapters.qdrant import LAYOUT, QdrantIndex
from penstock.retrieval.adapters.server import ServerPoints, create_collection, translated_errors
from penstock.retrieval.ports import IndexUnusable, Opened
from penstock.streaming.errors import TransientError

ALIAS = f"penstock-{LAYOUT}"


class ServerHome:
    """Collections of one server; only the one replica that `writes` makes, fills and removes them."""

    def __init__(self, client: AsyncQdrantClient, vector_size: int, *, writes: bool) -> None:
        self._client = client
        self._vector_size = vector_size
        self._writes = writes

    async def open(self) -> Opened:
        name = await self._current()
        if name is None:
            if not self._writes:
                raise TransientError("index_missing", "The replica that writes has not made the index yet.")
            opened = await self.begin()
            await self.adopt(opened)
        else:
            await self._check(name)
            # One that only reads follows the alias wherever it goes.
            opened = self._opened(name) if self._writes else Opened(name, self._index(ALIAS))
        if self._writes:
            await self._sweep(opened.id)
        return opened

    async def begin(self) -> Opened:
        name = f"{ALIAS}-{token_hex(4)}"
        await create_collection(self._client, name, self._vector_size)
        return self._opened(name)

    async def adopt(self, opened: Opened) -> None:
        steps: list[models.AliasOperations] = []
        if await self._current() is not None:
            steps.append(models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=ALIAS)))
        steps.append(
            models.CreateAliasOperation(
                create_alias=models.CreateAlias(collection_name=opened.id, alias_name=ALIAS)
            )
        )
        async with translated_errors("adopt"):
            await self._client.update_collection_aliases(steps)

    async def discard(self, opened: Opened) -> None:
        async with translated_errors("discard"):
            await self._client.delete_collection(opened.id)

    async def close(self) -> None:
        await self._client.close()

    def _opened(self, name: str) -> Opened:
        return Opened(name, self._index(name))

    def _index(self, name: str) -> QdrantIndex:
        return QdrantIndex(ServerPoints(self._client, name))

    async def _current(self) -> str | None:
        async with translated_errors("aliases"):
            aliases = (await self._client.get_aliases()).aliases
        return next((alias.collection_name for alias in aliases if alias.alias_name == ALIAS), None)

    async def _check(self, name: str) -> None:
        async with translated_errors("check"):
            vectors = (await self._client.get_collection(name)).config.params.vectors
        size = vectors[DENSE].size if isinstance(vectors, dict) else 0
        if size != self._vector_size:
            raise IndexUnusable(f"{name} holds vectors of {size} numbers, expected {self._vector_size}")

    async def _sweep(self, current: str) -> None:
        """Remove new indexes that a process before this one did not finish."""
        async with translated_errors("sweep"):
            collections = (await self._client.get_collections()).collections
            for collection in collections:
                if collection.name.startswith(f"{ALIAS}-") and collection.name != current:
                    await self._client.delete_collection(collection.name)
