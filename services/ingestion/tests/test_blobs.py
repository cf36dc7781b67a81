"""Blobs in a bucket, by a server that speaks as much of S3 as one file needs."""

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from penstock.ingestion.adapters.blobs import ObjectBlobs


@dataclass
class Bucket:
    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    authorizations: set[str] = field(default_factory=set)


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    bucket = Bucket()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            bucket.files[self.path] = self.rfile.read(int(self.headers["content-length"]))
            self._reply(b"")

        def do_GET(self) -> None:
            self._reply(bucket.files[self.path])

        def _reply(self, body: bytes) -> None:
            bucket.authorizations.add(self.headers["authorization"])
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.send_header("etag", '"1"')
            self.send_header("last-modified", "Tue, 01 Dec 2026 12:00:00 GMT")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    bucket.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield bucket
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("no_settings")
async def test_empty_variables_of_the_s3_client_count_as_unset(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As compose hands them on where compose/.env does not set them."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_ENDPOINT": bucket.url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "",
        "AWS_SESSION_TOKEN": "",
        "AWS_ENDPOINT_URL": "",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "",
    }.items():
        monkeypatch.setenv(name, value)
    blobs = ObjectBlobs("s3://files/here")
    await blobs.put("one", b"body")
    assert await blobs.get("one") == b"body"
    assert bucket.files == {"/files/here/one": b"body"}
    assert all("/us-east-1/s3/" in authorization for authorization in bucket.authorizations)


@pytest.mark.usefixtures("no_settings")
def test_a_bucket_without_any_setting_is_the_pods_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them empty: the client finds credentials by itself, when it needs them."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "REGION", "ENDPOINT", "ALLOW_HTTP"):
        monkeypatch.setenv(f"AWS_{name}", "")
    ObjectBlobs("s3://files/here")
