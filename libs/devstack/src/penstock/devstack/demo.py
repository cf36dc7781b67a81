"""The first look: ingest the sample documents, ask one question, say how to go on."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from penstock.devstack.errors import DevstackError
from penstock.devstack.feed import found_here, ingest_aloud, local
from penstock.devstack.root import find_root
from penstock.devstack.run import Running
from penstock.devstack.state import StateDir
from penstock.devstack.talk import ask_aloud
from penstock.devstack.where import read_key
from penstock.messages.search import DEFAULT_STORE

QUESTION = "What is a penstock?"
_MAX_TOKENS = 96

_HOW_TO_GO_ON = """\
Console:          {console}
Ask again:        {penstock} ask "What is a dead letter?"
Your documents:   {penstock} ingest PATH
API:              {gateway}/v1  (key in {key})

curl -N {gateway}/v1/chat/completions \\
  -H "Authorization: Bearer $(cat {key})" -H "Content-Type: application/json" \\
  -d '{{"model": "{model}", "stream": true, "messages": [{{"role": "user", "content": "{question}"}}]}}'

from openai import OpenAI
client = OpenAI(base_url="{gateway}/v1", api_key=open("{key}").read().strip())
for chunk in client.chat.completions.create(
    model="{model}", stream=True, messages=[{{"role": "user", "content": "{question}"}}]
):
    print(chunk.choices[0].delta.content or "" if chunk.choices else "", end="")
"""


async def demo(running: Running, state: StateDir, console: Console, within: float) -> str:
    """Waits until the stack is ready, ``within`` so many seconds, and shows it at work.

    Returns the name of the model that answered.
    """
    sample = find_root() / "e2e" / "sample"
    if not sample.is_dir():
        raise DevstackError(f"{sample} is missing: run this inside the Penstock checkout")
    await running.supervisor.until_ready(within)
    running.screen.settled()
    gateway = running.addresses.gateway
    console.print("==> Ingesting e2e/sample")
    key, files = read_key(state), found_here([str(sample)])
    if not await ingest_aloud(console, gateway, key, DEFAULT_STORE, local(files), len(files)):
        raise DevstackError("Not all of the sample was indexed: see `penstock logs ingestion-worker`")
    console.print(f"==> Asking: {QUESTION}", markup=False)
    return await ask_aloud(console, gateway, key, QUESTION, max_tokens=_MAX_TOKENS, temperature=0.0)


def show_how_to_go_on(running: Running, state: StateDir, console: Console, model: str) -> None:
    """Prints what to type next: the command, curl, and OpenAI's SDK."""
    console.print("\n==> Penstock is up")
    text = _HOW_TO_GO_ON.format(
        penstock=_shown(find_root() / ".venv" / "bin" / "penstock"),
        console=_console_link(running.addresses.gateway, state, to_sign_in=console.is_terminal),
        gateway=running.addresses.gateway,
        key=_shown(state.api_key),
        model=model,
        question=QUESTION,
    )
    console.print(text, markup=False, soft_wrap=True)


def _console_link(gateway: str, state: StateDir, *, to_sign_in: bool) -> str:
    """Where the console is. The link ``to_sign_in`` has the key in its fragment, which goes to no server.

    It is for people at a terminal only: what is written elsewhere, to the log of a build say, is often kept.
    """
    key = read_key(state) if to_sign_in else ""
    return (
        f"{gateway}/#key={key}" if key else f"{gateway}/  (sign in with the key in {_shown(state.api_key)})"
    )


def _shown(path: Path) -> str:
    """The path as it is typed from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
