#!/usr/bin/env python3
"""Writes server.properties from KAFKA_X_Y, formats new storage with CLUSTER_ID, and becomes the broker.

As the official image does: `_` is a dot, `__` an underscore, `___` a dash. KAFKA_HEAP_OPTS and KAFKA_OPTS are
Java's.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

HOME = Path("/opt/kafka")
NO_PROPERTIES = frozenset({"KAFKA_HEAP_OPTS", "KAFKA_OPTS", "KAFKA_JVM_PERFORMANCE_OPTS", "KAFKA_VERSION"})


def properties(environ: Mapping[str, str]) -> str:
    """Return the broker's settings that the environment names, a line each."""
    lines = []
    for name, value in sorted(environ.items()):
        if name.startswith("KAFKA_") and name not in NO_PROPERTIES:
            key = name.removeprefix("KAFKA_").lower()
            key = key.replace("___", "-").replace("__", "\0").replace("_", ".").replace("\0", "_")
            lines.append(f"{key}={value}\n")
    return "".join(lines)


def java(*arguments: str) -> list[str]:
    """Return the command that runs a class of Kafka's."""
    options = os.environ.get("KAFKA_HEAP_OPTS", "-Xmx512m").split() + os.environ.get("KAFKA_OPTS", "").split()
    log = f"-Dlog4j2.configurationFile={HOME}/log4j2.properties"
    return ["java", *options, log, "-cp", f"{HOME}/libs/*", *arguments]


def main() -> None:
    """Format if needed, and become the broker."""
    file = HOME / "config" / "server.properties"
    file.write_text(properties(os.environ), encoding="utf-8")
    cluster = f"--cluster-id={os.environ['CLUSTER_ID']}"
    tool = ("kafka.tools.StorageTool", "format", "--ignore-formatted", cluster, "-c", str(file))
    formatted = subprocess.run(java(*tool), check=False)  # noqa: S603 our own command
    if formatted.returncode:
        sys.exit(formatted.returncode)
    command = java("kafka.Kafka", str(file))
    os.execvp(command[0], command)  # noqa: S606 meant: this process becomes the broker


if __name__ == "__main__":
    main()
