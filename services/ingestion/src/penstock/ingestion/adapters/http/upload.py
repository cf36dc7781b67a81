"""An upload: a multipart form, streamed to disk, its size bounded while it arrives (RFC 7578)."""

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from penstock.ingestion.adapters.http.errors import ApiError, invalid

PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
FRAMING_BYTES = 64 << 10
"""What a form may have around its file."""
MAX_NAME = 255
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that has arrived: `path` holds its bytes while the upload is open."""

    name: str
    purpose: str
    path: Path
    size: int
    digest: str


@asynccontextmanager
async def uploaded(request: Request, limit: int, folder: Path) -> AsyncIterator[Upload]:
    """Give the file of a form. Raises ApiError (400, 413, 415)."""
    kind = request.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != "multipart/form-data":
        raise ApiError(415, "unsupported_media_type", "Send the file as multipart/form-data.")
    parser = MultiPartParser(request.headers, _bounded(request, limit), max_files=1, max_fields=16)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise invalid(None, f"The form cannot be read: {error.message}") from None
    try:
        given, purpose = form.get("file"), form.get("purpose")
        if not isinstance(given, UploadFile):
            raise invalid("file", "The form has no file.")
        if not isinstance(purpose, str) or purpose not in PURPOSES:
            raise invalid("purpose", f"purpose must be one of {', '.join(PURPOSES)}.")
        name = base_name(given.filename or "")
        with NamedTemporaryFile(dir=folder, prefix="upload-", delete=False) as target:
            path = Path(target.name)
            try:
                size, digest = await asyncio.to_thread(_copy, given.file, target)
                if size > limit:
                    raise _too_large(limit)
                yield Upload(name, purpose, path, size, digest)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(path)
    finally:
        await form.close()


def base_name(given: str) -> str:
    """Return a file's name without any folders, control characters or excess length. Raises ApiError."""
    name = given.replace("\\", "/").rpartition("/")[2]
    name = "".join(character for character in name if character.isprintable()).strip()
    if not name or name in (".", ".."):
        raise invalid("file", "The file has no name.")
    if len(name) <= MAX_NAME:
        return name
    stem, dot, suffix = name.rpartition(".")
    return (
        f"{stem[: MAX_NAME - 1 - len(suffix)]}{dot}{suffix}" if dot and len(suffix) < 16 else name[:MAX_NAME]
    )


async def _bounded(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    length = request.headers.get("content-length", "")
    most = limit + FRAMING_BYTES
    if length.isdigit() and int(length) > most:
        raise _too_large(limit)
    arrived = 0
    async for piece in request.stream():
        arrived += len(piece)
        if arrived > most:
            raise _too_large(limit)
        yield piece


def _copy(source: IO[bytes], target: IO[bytes]) -> tuple[int, str]:
    digest = hashlib.sha256()
    size = 0
    source.seek(0)
    while piece := source.read(_PIECE):
        target.write(piece)
        digest.update(piece)
        size += len(piece)
    target.flush()
    return size, digest.hexdigest()


def _too_large(limit: int) -> ApiError:
    message = f"The file is larger than {limit} bytes. Split it, or ask the operator to raise the limit."
    return ApiError(413, "file_too_large", message, "file")
