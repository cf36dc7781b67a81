"""Bodies and parameters of requests, in OpenAI's words, read into plain data."""

import re
from typing import Annotated, Literal, TypeVar

import msgspec
from fastapi import Request
from msgspec import UNSET, Meta, UnsetType

from penstock.ingestion.adapters.http.errors import ApiError, invalid
from penstock.ingestion.domain.model import Chunking
from penstock.ingestion.ports import Attachment, Page
from penstock.messages.chat import AnswersFrom
from penstock.messages.search import Attributes, Filter, Search

MAX_BODY = 1 << 20
MAX_BATCH = 2000
Name = Annotated[str, Meta(max_length=512)]
Id = Annotated[str, Meta(min_length=1, max_length=64)]
Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]
T = TypeVar("T", bound=msgspec.Struct)


class Auto(msgspec.Struct, tag="auto", tag_field="type"):
    """The server's own way."""


class Static(msgspec.Struct):
    """Sizes in tokens of the model."""

    max_chunk_size_tokens: Annotated[int, Meta(ge=32, le=4096)]
    chunk_overlap_tokens: Annotated[int, Meta(ge=0)]

    def __post_init__(self) -> None:
        if self.chunk_overlap_tokens * 2 > self.max_chunk_size_tokens:
            raise ValueError("chunk_overlap_tokens must be at most half of max_chunk_size_tokens")


class StaticStrategy(msgspec.Struct, tag="static", tag_field="type"):
    """The client's way."""

    static: Static


Strategy = Auto | StaticStrategy


class ExpiresAfter(msgspec.Struct):
    """A store that nobody uses for so many days goes."""

    anchor: Literal["last_active_at"]
    days: Annotated[int, Meta(ge=1, le=365)]


class CreateStore(msgspec.Struct):
    """POST /v1/vector_stores."""

    name: Name | None = None
    file_ids: Annotated[list[Id], Meta(max_length=500)] = []
    expires_after: ExpiresAfter | None = None
    chunking_strategy: Strategy | None = None
    metadata: Metadata | None = None
    answers: AnswersFrom | None = None


class ChangeStore(msgspec.Struct):
    """POST /v1/vector_stores/{id}; what is not named stays."""

    name: Name | UnsetType | None = UNSET
    expires_after: ExpiresAfter | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET
    answers: AnswersFrom | UnsetType | None = UNSET

    def changes(self) -> dict[str, object]:
        """Return what to change."""
        found: dict[str, object] = {}
        if self.name is not UNSET:
            found["name"] = self.name or ""
        if self.expires_after is not UNSET:
            found["expires_after_days"] = self.expires_after.days if self.expires_after else None
        if self.metadata is not UNSET:
            found["metadata"] = self.metadata or {}
        if self.answers is not UNSET:
            found["answers"] = self.answers
        return found


class AttachFile(msgspec.Struct):
    """POST /v1/vector_stores/{id}/files, and one of a batch."""

    file_id: Id
    attributes: Attributes | None = None
    chunking_strategy: Strategy | None = None

    def attachment(self) -> Attachment:
        """Return it as plain data."""
        return Attachment(self.file_id, self.attributes or {}, chunking_of(self.chunking_strategy))


class ChangeFile(msgspec.Struct):
    """POST /v1/vector_stores/{id}/files/{file_id}."""

    attributes: Attributes | None


class CreateBatch(msgspec.Struct):
    """POST /v1/vector_stores/{id}/file_batches: `file_ids` with one way for all, or `files`."""

    file_ids: Annotated[list[Id], Meta(max_length=MAX_BATCH)] | None = None
    files: Annotated[list[AttachFile], Meta(max_length=MAX_BATCH)] | None = None
    attributes: Attributes | None = None
    chunking_strategy: Strategy | None = None

    def attachments(self) -> list[Attachment]:
        """Return them as plain data. Raises ApiError."""
        if (self.file_ids is None) is (self.files is None):
            raise invalid("file_ids", "Give either file_ids or files.")
        if self.files is not None:
            found = [file.attachment() for file in self.files]
        else:
            chunking = chunking_of(self.chunking_strategy)
            found = [Attachment(i, self.attributes or {}, chunking) for i in self.file_ids or ()]
        if not found:
            raise invalid("file_ids", "Name at least one file.")
        return found


class RankingOptions(msgspec.Struct):
    """Which results are good enough; there is one ranker."""

    ranker: str | None = None
    score_threshold: Annotated[float, Meta(ge=0, le=1)] | None = None


class SearchStore(msgspec.Struct):
    """POST /v1/vector_stores/{id}/search."""

    query: str | Annotated[list[str], Meta(min_length=1, max_length=4)]
    filters: Filter | None = None
    max_num_results: Annotated[int, Meta(ge=1, le=50)] = 10
    ranking_options: RankingOptions | None = None
    rewrite_query: bool = False

    @property
    def queries(self) -> list[str]:
        """All queries."""
        return [self.query] if isinstance(self.query, str) else self.query

    def search(self, store_id: str) -> Search:
        """Return where and how to search."""
        options = self.ranking_options
        return Search(
            stores=(store_id,),
            filters=self.filters,
            max_results=self.max_num_results,
            min_score=options.score_threshold if options else None,
        )


async def read(request: Request, kind: type[T], *, empty: bool = False) -> T:
    """Return the JSON body of a request. Raises ApiError; `empty` allows there to be none."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY:
            raise ApiError(413, "request_too_large", f"The body is larger than {MAX_BODY} bytes.")
    if empty and not body.strip():
        return kind()
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at ")
        param = re.sub(r"[`$]", "", place).removeprefix(".") or None
        raise invalid(param, f"{message}.".replace("`", "'")) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ApiError(400, "invalid_json", "The body is not valid JSON.") from None
    except RecursionError:
        raise ApiError(400, "invalid_json", "The body is nested too deeply.") from None


def page_of(request: Request) -> Page:
    """Return the part of a list that is asked for. Raises ApiError."""
    given = request.query_params
    limit, order = given.get("limit", "20"), given.get("order", "desc")
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit) <= 100):
        raise invalid("limit", "limit must be from 1 to 100.")
    if order not in ("asc", "desc"):
        raise invalid("order", "order must be asc or desc.")
    return Page(int(limit), order == "desc", given.get("after", ""), given.get("before", ""))


def chunking_of(strategy: Strategy | None) -> Chunking | None:
    """Return the sizes of a static strategy, None for the automatic one."""
    if not isinstance(strategy, StaticStrategy):
        return None
    return Chunking(strategy.static.max_chunk_size_tokens, strategy.static.chunk_overlap_tokens)
