"""The scripts of compose/, with a Docker command that only notes what it is asked for."""

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKER = """\
#!/bin/sh
echo "$*" >>"$HOME/asked"
echo "$PENSTOCK_VERSION" >"$HOME/version"
for word in "$@"; do context=$word; done  # the last one
case $1 in
    build) [ ! -e "$HOME/broken" ] || exit 1; cat "$context/more.pem" >>"$HOME/built" ;;
    compose) case $2 in version) ;; *) exit 1 ;; esac ;;
esac
"""


@pytest.fixture
def compose(tmp_path: Path) -> Path:
    """A folder with a copy of compose/, as `compose`, and with the Docker command."""
    shutil.copytree(ROOT / "compose", tmp_path / "compose", ignore=shutil.ignore_patterns("secrets", ".env"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    docker = tmp_path / "docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    return tmp_path / "compose"


def run(script: Path, *words: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    home = script.parents[1] if script.parent.name == "compose" else script.parents[2]
    env = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "DOCKER": str(home / "docker"),
    } | settings
    return subprocess.run([script, *words], env=env, capture_output=True, text=True, check=False)  # noqa: S603  ours


def test_new_certificates_get_into_the_build_image(compose: Path) -> None:
    """Every image is there already: `docker image inspect` finds it."""
    bundle = compose.parent / "bundle.pem"
    bundle.write_text("-----BEGIN CERTIFICATE-----\n")
    build = compose / "offline" / "build.sh"
    assert run(build, "build").returncode == 0
    assert (compose.parent / "built").read_text() == ""
    assert run(build, "build", PENSTOCK_CA_BUNDLE=str(bundle)).returncode == 0
    assert (compose.parent / "built").read_text() == bundle.read_text()


@pytest.mark.parametrize("offline", ["0", "1"])
def test_images_that_cannot_be_built_advise_what_is_not_done(compose: Path, offline: str) -> None:
    (compose.parent / "broken").touch()
    done = run(compose / "stack.sh", "up", OFFLINE=offline)
    assert done.returncode == 1
    assert "The images could not be built." in done.stderr
    assert ("OFFLINE=1" in done.stderr) == (offline == "0")
    assert ("PENSTOCK_CA_BUNDLE" in done.stderr) == (offline == "1")


@pytest.mark.parametrize("offline", ["0", "1"])
def test_a_stack_that_does_not_come_up_advises_what_is_not_done(compose: Path, offline: str) -> None:
    done = run(compose / "stack.sh", "up", OFFLINE=offline, BUILD="0")
    assert done.returncode == 1
    assert "The stack did not come up" in done.stderr
    assert ("OFFLINE=1" in done.stderr) == (offline == "0")


def test_a_profile_that_is_gone_is_refused(compose: Path) -> None:
    done = run(compose / "stack.sh", "up", COMPOSE_PROFILES="vllm,observability", BUILD="0")
    assert done.returncode == 2
    assert "no profile vllm" in done.stderr
    assert "up --detach" not in (compose.parent / "asked").read_text()


def test_images_have_the_version_of_the_checkout(compose: Path) -> None:
    run(compose / "stack.sh", "ps")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (compose.parent / "version").read_text() == f"{project['version']}\n"


@pytest.mark.parametrize("line", ["", "PENSTOCK_VERSION=9.8\n"])
def test_another_version_of_images_may_be_set(compose: Path, line: str) -> None:
    (compose / ".env").write_text(line)
    run(compose / "stack.sh", "ps", **({} if line else {"PENSTOCK_VERSION": "9.8"}))
    assert (compose.parent / "version").read_text() == "9.8\n"
