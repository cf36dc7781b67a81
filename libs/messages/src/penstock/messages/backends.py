"""Addresses of model backends, as the setting `PENSTOCK_BACKENDS` names them."""

from typing import NamedTuple
from urllib.parse import urlsplit

DIALECTS = ("tgi",)
LOCAL = "tgi+http://127.0.0.1:8081"


class Backend(NamedTuple):
    """A server that generates text: the dialect it speaks, and its base URL without a slash at the end."""

    dialect: str
    url: str


def parse_backends(text: str) -> tuple[Backend, ...]:
    """Return the backends in a setting such as `tgi+http://a:8080,tgi+https://b`.

    Raises ValueError that says which part is wrong and what is expected.
    """
    backends = tuple(_parse(part.strip()) for part in text.split(",") if part.strip())
    if not backends:
        raise ValueError(f"no backend named; expected for example {LOCAL}")
    return backends


def _parse(text: str) -> Backend:
    dialect, plus, url = text.partition("+")
    parts = urlsplit(url)
    if parts.username is not None:
        raise ValueError("an address holds no user or password: a key is a setting of its own")
    if not plus or dialect not in DIALECTS or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"backend {text!r} is not of the form tgi+http://host:port")
    return Backend(dialect, url.rstrip("/"))
