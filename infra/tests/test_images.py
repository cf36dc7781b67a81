"""How images are made: what goes into each, and the scripts in them."""

import re
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from infra.images import build, pick, slim

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "infra" / "images"
DOCKERFILE = (IMAGES / "Dockerfile").read_text()


def test_there_is_an_image_of_every_service_and_of_the_command() -> None:
    members = {f"services/{path.parent.name}" for path in ROOT.glob("services/*/pyproject.toml")}
    members.remove("services/trainer")  # it serves nothing
    assert {image.member for image in build.IMAGES.values()} == members | {"libs/devstack"}


@pytest.mark.parametrize("name", build.IMAGES)
def test_it_starts_a_command_of_its_member(name: str) -> None:
    image = build.IMAGES[name]
    project = tomllib.loads((ROOT / image.member / "pyproject.toml").read_text())["project"]
    assert image.command in project["scripts"]
    given = build.arguments(name, image)
    assert given["DESCRIPTION"] == project["description"]
    assert all(re.search(rf"^ARG {key}\b", DOCKERFILE, re.MULTILINE) for key in given)


def test_health_is_asked_for_on_the_port_that_the_image_sets() -> None:
    ports = {image.member.rpartition("/")[2]: image.port for image in build.IMAGES.values()}
    assert ports.pop("devstack") == 0
    for service in ("gateway", "observer", "inference"):
        assert f"PENSTOCK_{service.upper()}_PORT={ports.pop(service)}" in DOCKERFILE
    assert {f"PENSTOCK_HEALTH_PORT={port}" in DOCKERFILE for port in ports.values()} == {True}


def test_images_are_pushed_to_a_registry_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = tmp_path / "docker"
    docker.write_text(
        f'#!/bin/sh\necho "$1 $*" | grep -oE "^[a-z]+|registry[^ ]+" | xargs >>{tmp_path}/asked\n'
    )
    docker.chmod(0o755)
    monkeypatch.setenv("DOCKER", str(docker))
    monkeypatch.delenv("PENSTOCK_REGISTRY", raising=False)
    monkeypatch.setenv("PENSTOCK_VERSION", "9.9")
    with pytest.raises(SystemExit, match="PENSTOCK_REGISTRY"):
        build.main(["--push", "gateway"])
    assert not (tmp_path / "asked").exists()
    monkeypatch.setenv("PENSTOCK_REGISTRY", "registry.example.com/x")
    build.main(["--push", "gateway", "cli"])
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked == [
        f"{verb} registry.example.com/x/{name}:9.9"
        for name in ("gateway", "cli")
        for verb in ("build", "push")
    ]


def test_uv_is_the_one_of_the_makefile() -> None:
    [wanted] = re.findall(r"^UV_VERSION := (\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert f"ARG UV_VERSION={wanted}\n" in DOCKERFILE


def test_the_last_stage_installs_nothing_and_needs_no_buildkit() -> None:
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert not re.search(r"\b(uv|pip install|apt-get|curl|wget)\b", last)
    assert "USER 10001:10001" in last
    assert "STOPSIGNAL SIGTERM" in last
    assert not re.search(r"--mount|<<|# syntax", DOCKERFILE)


LOCK = """\
six==1.0 \\
    --hash=sha256:aa
numpy==1.0 ; python_full_version < '3.12' \\
    --hash=sha256:bb \\
    --hash=sha256:cc
numpy==2.0 ; python_full_version >= '3.12' \\
    --hash=sha256:dd
typing-extensions==4.0 \\
    --hash=sha256:ee
"""


def test_picked_lines_are_the_locks_with_every_version_that_a_marker_may_choose() -> None:
    assert pick.picked(LOCK, ["numpy==1.0"]) == LOCK[LOCK.index("numpy") : LOCK.index("typing")]
    assert pick.picked(LOCK, ["Typing_Extensions[x]==4.0", "six==1.0"]).count("--hash") == 2
    with pytest.raises(KeyError, match="other"):
        pick.picked(LOCK, ["other==1"])


def test_every_block_of_our_lock_has_hashes() -> None:
    lock = (ROOT / pick.LOCK).read_text()
    blocks = pick.blocks(lock)
    assert "".join(blocks.values()).count("\n") == lock.count("\n")
    assert all("--hash=sha256:" in block for block in blocks.values())
    assert blocks["numpy"].count("numpy==") == len(re.findall(r"^numpy==", lock, re.MULTILINE))


def test_own_packages_are_told_from_those_of_others() -> None:
    lines = ["-e file:///workspace/libs/messages", "six==1.0"]
    assert list(pick.own(lines)) == ["/workspace/libs/messages"]


def test_slim_takes_tests_and_headers_and_keeps_what_is_imported(tmp_path: Path) -> None:
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    kept = [packages / "a" / "core.py", packages / "numpy" / "testing" / "x.py", tmp_path / "bin" / "python"]
    gone = [
        packages / "a" / "tests" / "deep" / "test_a.py",
        packages / "a" / "core.pyi",
        tmp_path / "bin" / "activate",
    ]
    gone.append(packages / "numpy" / "f2py" / "x.py")
    for file in (*kept, *gone):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("12345")
    slim.slim(tmp_path)
    assert [file for file in (*kept, *gone) if file.exists()] == kept


class _Probes(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(503 if self.path == "/readyz" else 200)
        self.end_headers()
        self.wfile.write(b'{"ready": false}')

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), _Probes)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def _health(port: int, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-IS", str(IMAGES / "health.py"), *words]
    env = {"PENSTOCK_IMAGE_PORT": str(port)}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)  # noqa: S603  ours


def test_health_says_whether_a_service_lives_and_whether_it_can_serve(port: int) -> None:
    assert _health(port).returncode == 0
    ready = _health(port, "--ready")
    assert ready.returncode == 1
    assert "503" in ready.stdout
    assert '{"ready": false}' in ready.stdout


def test_a_command_without_a_port_is_well() -> None:
    assert _health(0).returncode == 0


def test_health_of_a_port_where_nobody_listens_is_one_clear_line() -> None:
    done = _health(1)
    assert done.returncode == 1
    assert done.stdout == "/livez: [Errno 111] Connection refused\n"
    assert done.stderr == ""


@pytest.mark.skipif(not shutil.which("strip"), reason="binutils is not installed")
def test_slim_strips_compiled_modules_and_they_still_load(tmp_path: Path) -> None:
    import uvloop.loop

    built = Path(uvloop.loop.__file__)
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    shutil.copytree(built.parent, packages / "uvloop")
    bundled = packages / "some.libs" / "lib.so"
    bundled.parent.mkdir()
    shutil.copy(built, bundled)
    slim.slim(tmp_path)
    assert (packages / "uvloop" / built.name).stat().st_size < built.stat().st_size / 2
    assert bundled.stat().st_size == built.stat().st_size
    code = "import sys, uvloop; uvloop.new_event_loop().close(); print(uvloop.__file__)"
    env = {"PYTHONPATH": str(packages)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.startswith(str(packages))
