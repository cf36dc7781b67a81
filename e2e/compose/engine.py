"""The compose stack as its user has it: `compose/stack.sh`, the Docker engine, the published API."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from openai import OpenAI

from e2e.stack import ROOT

COMPOSE = ROOT / "compose"
OURS = (
    "gateway",
    "tokenization",
    "retrieval",
    "generation",
    "postprocessing",
    "ingestion",
    "worker",
    "observer",
    "inference",
)
SERVERS = ("kafka", "postgres", "redis")
JOBS = ("topics", "gateway-db", "ingestion-db")
_LABEL = "com.docker.compose.project"


class EngineError(Exception):
    """A command of the engine or of compose failed; the text is what it said."""


def engine_answers() -> bool:
    """Return whether there is a Docker engine."""
    if shutil.which("docker") is None:
        return False
    asked = ["docker", "info", "--format", "{{.ServerVersion}}"]
    done = subprocess.run(asked, capture_output=True, check=False, timeout=60)  # noqa: S603  ours
    return done.returncode == 0


def docker(*words: str, seconds: float = 120) -> str:
    """Run the engine's command and return what it says. Raises EngineError."""
    return _run(["docker", *words], os.environ, seconds)


def _run(command: Sequence[str], env: Mapping[str, str], seconds: float) -> str:
    done = subprocess.run(  # noqa: S603  ours
        command, env=env, cwd=ROOT, capture_output=True, text=True, check=False, timeout=seconds
    )
    if done.returncode:
        raise EngineError(
            f"{' '.join(command)}: {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )
    return done.stdout


def eventually(check: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until `check` is true; AssertionError if it does not become so."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.5)


@dataclass
class Compose:
    """One project of compose; `files` come on top of compose.yaml, `env` on top of the environment."""

    project: str = "penstock"
    files: tuple[Path, ...] = ()
    env: dict[str, str] = field(default_factory=dict)

    def run(self, *words: str, seconds: float = 900) -> str:
        """Run compose/stack.sh. Raises EngineError."""
        env = {**os.environ, **self.env, "PENSTOCK_PROJECT": self.project}
        if self.files:
            env["PENSTOCK_COMPOSE_FILES"] = os.pathsep.join(str(file) for file in self.files)
        return _run([str(COMPOSE / "stack.sh"), *words], env, seconds)

    def leftovers(self) -> list[str]:
        """Return the containers, networks and volumes that the project has."""
        named = f"label={_LABEL}={self.project}"
        found = []
        for kind, words in (
            ("container", ["ps", "-a"]),
            ("network", ["network", "ls"]),
            ("volume", ["volume", "ls"]),
        ):
            found += [f"{kind} {name}" for name in docker(*words, "-q", "--filter", named).split()]
        return found

    def container(self, service: str) -> str:
        """Return the id of a service's container, an empty string if it has none."""
        wanted = [f"label={_LABEL}={self.project}", f"label=com.docker.compose.service={service}"]
        filters = [word for label in wanted for word in ("--filter", label)]
        return docker("ps", "-a", "-q", "--no-trunc", *filters).strip()

    def inspect(self, service: str) -> dict[str, Any]:
        """Return what the engine knows of a service's container."""
        [found] = json.loads(docker("inspect", self.container(service)))
        return dict(found)

    def healthy(self, service: str) -> bool:
        """Return whether the service runs and its check says that it can serve."""
        state = self.inspect(service)["State"]
        return bool(state["Running"]) and state.get("Health", {}).get("Status") == "healthy"

    def execute(self, service: str, *command: str, user: str | None = None) -> str:
        """Run a command in a service's container. Raises EngineError."""
        who = ["--user", user] if user else []
        return docker("exec", *who, self.container(service), *command)

    def crash(self, service: str) -> None:
        """Kill the service's process with SIGKILL from outside, as the kernel does that is out of memory.

        Not by `docker kill`, after which the engine takes the container for stopped on purpose.
        """
        pid = int(self.inspect(service)["State"]["Pid"])
        assert pid > 1, f"{service} does not run"
        image = self.inspect("tokenization")["Image"]
        privileges = ["--pid=host", "--user=0", "--cap-add=KILL", "--entrypoint=sh"]
        docker("run", "--rm", *privileges, image, "-c", f"kill -9 {pid}")

    @property
    def secrets(self) -> Path:
        """The folder of passwords and keys."""
        return Path(
            self.env.get("PENSTOCK_SECRETS") or os.environ.get("PENSTOCK_SECRETS") or COMPOSE / "secrets"
        )

    @property
    def key(self) -> str:
        """The API key."""
        return (self.secrets / "api-key").read_text().strip()

    @property
    def url(self) -> str:
        """Base URL of the gateway, as it is published."""
        [published] = self.inspect("gateway")["NetworkSettings"]["Ports"]["8080/tcp"]
        return f"http://{published['HostIp']}:{published['HostPort']}"

    def openai(self) -> OpenAI:
        """Return OpenAI's client for this stack."""
        return OpenAI(base_url=f"{self.url}/v1", api_key=self.key, max_retries=0)

    def ready(self) -> bool:
        """Return whether the gateway says that it can serve."""
        try:
            return httpx2.get(f"{self.url}/readyz", timeout=5, trust_env=False).status_code == 200
        except (httpx2.HTTPError, ValueError):
            return False
