"""The file name of a page: readable, the same at every crawl, and different for different pages."""

from __future__ import annotations

import re
from hashlib import blake2b
from urllib.parse import unquote

from penstock.devstack.crawl.guard import canonical

_SUFFIXES = {
    "text/html": (".html", ".htm"),
    "application/xhtml+xml": (".html", ".htm", ".xhtml"),
    "text/markdown": (".md", ".markdown"),
    "text/csv": (".csv",),
    "text/xml": (".xml",),
    "application/xml": (".xml",),
    "application/json": (".json",),
    "application/pdf": (".pdf",),
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": (".docx",),
}
_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,9}$")
_UNSAFE = re.compile(r"\.{2,}|^\.|[^\w.+@-]+")
_MAX_NAME = 200


def file_name(url: str, content_type: str) -> str:
    """``host/path`` with a suffix that fits the content type; a folder's own page is its ``index``.

    A hash tells pages apart whose difference cannot stand in a name, such as a query.
    """
    place, _, query = canonical(url).partition("://")[2].partition("?")
    parts = [unquote(part) for part in place.split("/")]
    parts[-1] = parts[-1] or "index"
    safe = [_UNSAFE.sub("-", part) for part in parts]
    name, suffix = _split("/".join(part for part in safe if part), content_type)
    if query or safe[1:] != parts[1:] or len(name) > _MAX_NAME:
        mark = blake2b(canonical(url).encode(), digest_size=4).hexdigest()
        name = f"{name[:_MAX_NAME]}-{mark}"
    return name + suffix


def _split(name: str, content_type: str) -> tuple[str, str]:
    """The name without its suffix, and the suffix it has or should have."""
    kind = content_type.partition(";")[0].strip().lower()
    found = _SUFFIX.search(name.rpartition("/")[2])
    suffix = found.group() if found else ""
    fitting = _SUFFIXES.get(kind)
    if fitting is None:  # plain text may be anything: a name that says more is believed
        return name.removesuffix(suffix), suffix or (".txt" if kind == "text/plain" else "")
    if suffix.lower() in fitting:
        return name.removesuffix(suffix), suffix
    return name, fitting[0]
