"""The inference service by itself, for what is measured without the rest of the stack."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from penstock.devstack.death import die_with_parent
from penstock.devstack.network import free_ports
from penstock.devstack.root import find_root

_READY_S = 120


@contextmanager
def running_inference(adapter: str = "") -> Iterator[str]:
    """The inference service by itself, until the block ends: its URL. `adapter`: PENSTOCK_MODEL_ADAPTER."""
    [port] = free_ports(1)
    program = str(Path(sys.executable).with_name("penstock-inference"))
    cache = os.environ.get("PENSTOCK_MODEL_CACHE", str(find_root() / ".penstock" / "models"))
    process = subprocess.Popen(  # noqa: S603  # ours
        [program],
        env={
            **os.environ,
            "PENSTOCK_INFERENCE_PORT": str(port),
            "PENSTOCK_MODEL_CACHE": cache,
            **({"PENSTOCK_MODEL_ADAPTER": adapter} if adapter else {}),
        },
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=die_with_parent(os.getpid()),
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _until_ready(process, url)
        yield url
    finally:
        process.terminate()
        process.wait()


def _until_ready(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        try:
            if all(httpx2.get(f"{url}{p}", trust_env=False).is_success for p in ("/health", "/tei/health")):
                return
        except httpx2.TransportError:
            if process.poll() is not None:
                break
        time.sleep(0.2)
    sys.exit("eval: the inference service did not become ready")
