"""What a run ran on, without naming the machine."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

import psutil

from penstock.devstack.root import find_root

_KAFKA = re.compile(r"<kafka.version>([^<]+)<")


def describe() -> str:
    """One line: cores, processor, memory, and the versions that matter."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [
        f"{cores} cores ({_processor()})",
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB of memory",
        platform.system(),
        f"Python {platform.python_version()}",
        f"Kafka {_kafka_version()}",
        f"OpenVINO GenAI {version('openvino-genai')}",
    ]
    return ", ".join(parts)


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return " ".join(found.group(1).split()) if found else platform.machine()


def _kafka_version() -> str:
    if os.environ.get("PENSTOCK_KAFKA"):
        return "of the user's own"
    found = _KAFKA.search((find_root() / "infra" / "kafka" / "pom.xml").read_text(encoding="utf-8"))
    return found.group(1) if found else "unknown"
