"""Versions: Python, Java and Kafka's jars, the packages of the lock file, and Penstock's own members."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from penstock.devstack.doctor.finding import Finding, error, warning
from penstock.devstack.doctor.runner import in_thread
from penstock.devstack.doctor.scene import Scene
from penstock.devstack.doctor.words import some
from penstock.devstack.errors import DevstackError
from penstock.devstack.jars import class_path, jars_folder
from penstock.devstack.java import find_java

_OURS = "penstock-"
_SET_UP = "Run `make setup` in the checkout, then start the stack again."


async def look(scene: Scene) -> list[Finding]:
    """What is installed, against what is needed."""
    return await in_thread(_look, scene)


def _look(scene: Scene) -> list[Finding]:
    installed = list(metadata.distributions())
    return [
        *python(installed, platform.python_version()),
        *members(installed),
        *packages(scene.root / "requirements.lock", installed),
        *(_java(scene.root) if scene.kafka_is_ours else ()),
    ]


def python(installed: Sequence[metadata.Distribution], version: str) -> Iterator[Finding]:
    """Whether Penstock's members can run on this Python."""
    for one in installed:
        needs = one.metadata["Requires-Python"] if _name(one).startswith(_OURS) else None
        try:
            fits = needs is None or SpecifierSet(needs).contains(version, prereleases=True)
        except InvalidSpecifier:
            continue
        if not fits:
            yield error(
                "versions.python",
                f"Python {version} ({sys.executable})",
                f"{_name(one)} needs Python {needs}.",
                "`make clean`, then `make PYTHON=/path/to/a/newer/python setup`.",
            )
            return


def members(installed: Sequence[metadata.Distribution]) -> Iterator[Finding]:
    """Whether Penstock's members are all of one version."""
    by_version: dict[str, list[str]] = {}
    for one in installed:
        if _name(one).startswith(_OURS):
            by_version.setdefault(one.version, []).append(_name(one))
    if len(by_version) > 1:
        told = "; ".join(f"{version}: {some(sorted(names))}" for version, names in sorted(by_version.items()))
        yield error("versions.members", "Penstock's own packages", f"They differ: {told}.", _SET_UP)


def packages(lock: Path, installed: Sequence[metadata.Distribution]) -> Iterator[Finding]:
    """Whether the packages are those of the lock file, if there is one."""
    try:
        text = lock.read_text("utf-8")
    except FileNotFoundError:
        return
    have = {_name(one): one.version for one in reversed(installed)}  # the first of a name is the one in use
    wanted = _locked(text)
    missing = sorted(name for name in wanted if name not in have)
    other = sorted(
        f"{name} {have[name]} instead of {version}"
        for name, version in wanted.items()
        if have.get(name, version) != version
    )
    if missing:
        yield error("versions.missing", str(lock), f"Not installed: {some(missing)}.", _SET_UP)
    if other:
        yield warning(
            "versions.packages", str(lock), f"Other versions are installed: {some(other)}.", _SET_UP
        )


def _locked(text: str) -> Mapping[str, str]:
    """Name and version of what the lock file wants on this machine and Python."""
    wanted: dict[str, str] = {}
    for line in text.splitlines():
        try:
            requirement = Requirement(line.rstrip("\\ "))
        except InvalidRequirement:
            continue  # a hash, a comment
        if requirement.marker is None or requirement.marker.evaluate():
            wanted[canonicalize_name(requirement.name)] = str(requirement.specifier).removeprefix("==")
    return wanted


def _java(root: Path) -> Iterator[Finding]:
    try:
        find_java()
    except DevstackError as failure:
        yield error(
            "versions.java", "java", f"{failure}.", "Install Java 17 or newer, or set PENSTOCK_KAFKA."
        )
    folder = jars_folder(root)
    try:
        class_path(folder)
    except DevstackError:
        yield error(
            "versions.jars",
            str(folder),
            "Kafka's jars are not there.",
            "Run `make kafka`, or set PENSTOCK_KAFKA to a broker that runs.",
        )


def _name(distribution: metadata.Distribution) -> str:
    return canonicalize_name(distribution.metadata["Name"] or "")
