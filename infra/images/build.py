"""Builds the images: `python3 infra/images/build.py [NAME …]`, all without a name.

`--push` pushes them as well, `--sizes` measures them instead.

Settings, from the environment: PENSTOCK_REGISTRY and PENSTOCK_VERSION name the images,
PENSTOCK_BASE_IMAGE and PENSTOCK_BUILD_IMAGE what they are made from, PIP_INDEX_URL where packages come from,
DOCKER the engine's command. Only the standard library: images are built where nothing is installed.
"""

import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = "infra/images/Dockerfile"
BASE = "python:3.11-slim"


@dataclass(frozen=True)
class Image:
    """One image: the workspace's member in it, the command it starts, the port that tells its health or 0."""

    member: str
    command: str
    port: int = 8081


IMAGES = {
    "gateway": Image("services/gateway", "penstock-gateway", 8080),
    "tokenization": Image("services/tokenization", "penstock-tokenization"),
    "retrieval": Image("services/retrieval", "penstock-retrieval"),
    "generation": Image("services/generation", "penstock-generation"),
    "postprocessing": Image("services/postprocessing", "penstock-postprocessing"),
    "ingestion": Image("services/ingestion", "penstock-ingestion"),
    "observer": Image("services/observer", "penstock-observer", 8092),
    "inference": Image("services/inference", "penstock-inference", 8093),
    "cli": Image("libs/devstack", "penstock", 0),
}


def version() -> str:
    """Return the version of the images: this checkout's, unless PENSTOCK_VERSION says another one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return os.environ.get("PENSTOCK_VERSION") or str(project["version"])


def tag(name: str) -> str:
    """Return what an image is called."""
    registry = os.environ.get("PENSTOCK_REGISTRY") or "penstock"
    return f"{registry}/{name}:{version()}"


def base_image() -> str:
    """Return the image that all are made from."""
    return os.environ.get("PENSTOCK_BASE_IMAGE") or BASE


def arguments(name: str, image: Image) -> dict[str, str]:
    """Return the build arguments of an image."""
    about = tomllib.loads((ROOT / image.member / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    given = {
        "BASE_IMAGE": base_image(),
        "BUILD_IMAGE": os.environ.get("PENSTOCK_BUILD_IMAGE") or base_image(),
        "MEMBER": image.member,
        "COMMAND": image.command,
        "PORT": str(image.port),
        "NAME": name,
        "DESCRIPTION": about["description"],
        "VERSION": version(),
        "REVISION": _revision(),
        "SOURCE": os.environ.get("PENSTOCK_SOURCE", ""),
    }
    if index := os.environ.get("PIP_INDEX_URL"):
        given["PIP_INDEX_URL"] = index
    return given


def _revision() -> str:
    asked = ["git", "rev-parse", "HEAD"]
    try:
        done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def docker(*words: str, quiet: bool = False) -> str:
    """Run the engine's command and return what it says; SystemExit with its exit code if it fails."""
    command = [os.environ.get("DOCKER") or "docker", *words]
    out = subprocess.PIPE if quiet else None
    done = subprocess.run(command, cwd=ROOT, stdout=out, text=True, check=False)  # noqa: S603 the user's own
    if done.returncode:
        raise SystemExit(done.returncode)
    return done.stdout or ""


def build(name: str) -> None:
    """Build one image."""
    sys.stdout.write(f"==> Image {tag(name)}\n")
    sys.stdout.flush()
    options = [f"--build-arg={key}={value}" for key, value in arguments(name, IMAGES[name]).items()]
    docker("build", "--quiet", "--file", DOCKERFILE, "--tag", tag(name), *options, ".")


def sizes(names: list[str]) -> str:
    """Return a Markdown table of how much each image adds to its base."""
    base = _bytes(base_image())
    rows = [f"| {name} | {(_bytes(tag(name)) - base) / 1e6:.0f} MB |" for name in names]
    head = ["| image | above its base |", "|---|---:|"]
    return "\n".join([*head, *rows, f"\nThe base: {base / 1e6:.0f} MB.\n"])


def _bytes(image: str) -> int:
    return int(docker("image", "inspect", "--format", "{{.Size}}", image, quiet=True))


def main(words: list[str]) -> None:
    """Do what the arguments say."""
    names = [word for word in words if not word.startswith("-")] or list(IMAGES)
    if unknown := [name for name in names if name not in IMAGES]:
        raise SystemExit(f"There is no image {unknown[0]}; there are {', '.join(IMAGES)}")
    if "--sizes" in words:
        sys.stdout.write(sizes(names))
        return
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", tag("x").rpartition(":")[2]):
        raise SystemExit("PENSTOCK_VERSION is no tag of an image")
    if "--push" in words and not os.environ.get("PENSTOCK_REGISTRY"):
        raise SystemExit("--push: set PENSTOCK_REGISTRY, such as registry.example.com/penstock")
    for name in names:
        build(name)
        if "--push" in words:
            docker("push", "--quiet", tag(name))


if __name__ == "__main__":
    main(sys.argv[1:])
