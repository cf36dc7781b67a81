"""Finds a Java that can run the broker. Only the standard library: set-up calls this before any install."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from penstock.devstack.errors import DevstackError

MINIMUM_JAVA = 17
WITHOUT_JAVA = "To use a Kafka that already runs: PENSTOCK_KAFKA=host:port make run"

_VERSION = re.compile(r'version "(?:1\.)?(\d+)')


def parse_major(banner: str) -> int | None:
    """The major version in the output of ``java -version`` (``1.8.0`` counts as 8), or None."""
    found = _VERSION.search(banner)
    return int(found.group(1)) if found else None


def find_java() -> str:
    """The path of a Java of at least MINIMUM_JAVA, from JAVA_HOME or PATH; DevstackError if there is none."""
    home = os.environ.get("JAVA_HOME", "")
    candidate = str(Path(home, "bin", "java")) if home else "java"
    java = shutil.which(candidate)
    if java is None:
        where = f"JAVA_HOME={home} holds no bin/java" if home else "no `java` on the PATH"
        raise DevstackError(f"Kafka needs Java {MINIMUM_JAVA} or newer: {where}. {WITHOUT_JAVA}")
    try:
        done = subprocess.run(  # noqa: S603 the path comes from `which`
            [java, "-version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DevstackError(f"`{java} -version` failed: {error}. {WITHOUT_JAVA}") from error
    major = parse_major(done.stderr + done.stdout)
    if done.returncode != 0 or major is None:
        raise DevstackError(f"`{java} -version` failed with code {done.returncode}. {WITHOUT_JAVA}")
    if major < MINIMUM_JAVA:
        raise DevstackError(f"Kafka needs Java {MINIMUM_JAVA} or newer, {java} is {major}. {WITHOUT_JAVA}")
    return java
