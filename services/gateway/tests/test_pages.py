"""The console's files, with what keeps a browser from running anything else."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2
from hatchling.builders.wheel import WheelBuilder
from starlette.types import Receive, Send

from penstock.gateway.adapters.http.pages import CONSOLE
from services.gateway.tests.upstream import Seen, Upstream, body, start

TYPES = {
    ".html": {"text/html; charset=utf-8"},
    ".js": {"text/javascript; charset=utf-8", "application/javascript"},
    ".css": {"text/css; charset=utf-8"},
    ".svg": {"image/svg+xml"},
    ".png": {"image/png"},
    ".woff2": {"font/woff2"},
    ".json": {"application/json"},
}
FILES = sorted(path for path in CONSOLE.rglob("*") if path.is_file())


def policy_of(response: httpx2.Response) -> dict[str, str]:
    [policy] = response.headers.get_list("content-security-policy")
    return dict(part.strip().partition(" ")[::2] for part in policy.split(";"))


async def test_the_page_comes_with_a_strict_policy(stand: Any) -> None:
    response = await stand.client.get(f"{stand.url}/")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.content == (CONSOLE / "index.html").read_bytes()
    assert policy_of(response) == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self' data:",
        "font-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "penstock",
    }
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cross-origin-opener-policy"] == "same-origin"
    assert response.headers["cross-origin-resource-policy"] == "same-origin"
    assert "camera=()" in response.headers["permissions-policy"]
    assert response.headers["cache-control"] == "no-cache"


async def test_every_file_has_its_type_its_tag_and_the_policy(stand: Any) -> None:
    page = policy_of(await stand.client.get(f"{stand.url}/"))
    for path in FILES:
        url = f"{stand.url}/console/static/{path.relative_to(CONSOLE).as_posix()}"
        response = await stand.client.get(url)
        assert (response.status_code, response.content) == (200, path.read_bytes())
        assert response.headers["content-type"] in TYPES[path.suffix], path
        assert policy_of(response) == page
        unchanged = await stand.client.get(url, headers={"if-none-match": response.headers["etag"]})
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert unchanged.headers["cache-control"] == "no-cache"


async def test_heads_are_as_the_whole_without_its_body(stand: Any) -> None:
    for path in ("/", "/console/static/index.html"):
        whole, head = await stand.client.get(stand.url + path), await stand.client.head(stand.url + path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(whole.content))
        assert head.headers["etag"] == whole.headers["etag"]


async def test_nothing_is_written_there(stand: Any) -> None:
    for path in ("/", "/console/static/index.html"):
        response = await stand.client.post(stand.url + path, content=b"x")
        assert response.status_code == 405
        assert set(response.headers["allow"].split(", ")) == {"GET", "HEAD"}


OUT = (
    "",
    "..",
    "../main.py",
    "../adapters/accounts.py",
    "%2e%2e/main.py",
    "%2e%2e%2fmain.py",
    "..%2fmain.py",
    "..%5cmain.py",
    "..\\main.py",
    "js/../../main.py",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "//etc/passwd",
    "%00",
    "index.html%00.js",
    "a" * 5000,
    "js",
    "nothing.js",
    "%ff%fe",
)


async def test_no_path_leads_out_of_the_folder(stand: Any) -> None:
    for path in OUT:
        reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
        writer.write(f"GET /console/static/{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), 20)
        assert answer.split(b" ")[1] in (b"404", b"400"), path
        assert b"import" not in answer
        assert b"root:" not in answer
        writer.close()


async def test_a_link_in_the_folder_leads_nowhere_else(tmp_path: Path) -> None:
    from fastapi import FastAPI

    from penstock.gateway.adapters.http.pages import add_pages

    (tmp_path / "console").mkdir()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "console" / "link.js").symlink_to(tmp_path / "secret")
    app = FastAPI()
    add_pages(app, tmp_path / "console")
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://x") as client:
        assert (await client.get("/console/static/link.js")).status_code == 404


async def test_what_is_no_page_of_ours_is_sealed(start_stand: Any, upstream: Upstream) -> None:
    # Whoever is signed in and opens it would otherwise run it as the console.
    async def answer(seen: Seen, receive: Receive, send: Send) -> None:
        await seen.read(receive)
        policy = {"content_security_policy": "script-src *", "x_content_type_options": "off"}
        await send(start(content_type="text/html", **policy))
        await send(body(b"<script>fetch('/v1/files')</script>"))

    upstream.answer = answer
    stand = await start_stand(ingestion=upstream.url, observer=upstream.url)
    for path in (
        "/v1/files/file-1/content",
        "/console/api/requests",
        "/v1/models",
        "/openapi.json",
        "/nothing",
    ):
        response = await stand.client.get(stand.url + path, headers=stand.auth)
        policy = policy_of(response)
        assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
        assert policy["sandbox"] == ""
        assert "script-src" not in policy
        assert response.headers.get_list("x-content-type-options") == ["nosniff"]


def test_the_wheel_holds_the_console() -> None:
    member = Path(__file__).parents[1]
    held = {file.distribution_path for file in WheelBuilder(str(member)).recurse_included_files()}
    assert {f"penstock/gateway/console/{path.relative_to(CONSOLE).as_posix()}" for path in FILES} <= held
    assert "penstock/gateway/console/index.html" in held
