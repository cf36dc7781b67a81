"""Memory and open files: of the machine, and of the stack's processes against their own limits."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import psutil

from penstock.devstack.doctor.finding import Finding, error, warning
from penstock.devstack.doctor.runner import in_thread
from penstock.devstack.doctor.scene import Scene
from penstock.devstack.doctor.words import size


async def look(scene: Scene) -> list[Finding]:
    """What is left, and who is near a limit."""
    return await in_thread(_look, scene)


def _look(scene: Scene) -> list[Finding]:
    findings = [*_memory(scene)]
    if scene.status is None:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        findings += _few_files(scene, "this shell", soft)
    for service in scene.status.services if scene.status else ():
        if service.pid is None:
            continue
        try:
            findings += _process(scene, service.name, psutil.Process(service.pid))
        except psutil.Error:
            continue  # it has just ended, or is another user's
    return findings


def _memory(scene: Scene) -> Iterator[Finding]:
    available = psutil.virtual_memory().available
    if available < scene.needs.memory_low:
        tell = error if available < scene.needs.memory_least else warning
        yield tell(
            "machine.memory",
            "memory of this machine",
            f"{size(available)} are available; when there is none, the kernel kills a process.",
            "End other programs, run fewer replicas, or use model servers elsewhere (PENSTOCK_BACKENDS).",
        )


def _process(scene: Scene, name: str, process: psutil.Process) -> Iterator[Finding]:
    where = f"{name} (pid {process.pid})"
    if not hasattr(process, "rlimit"):  # psutil has it on Linux and FreeBSD
        return
    soft, _ = process.rlimit(psutil.RLIMIT_NOFILE)
    yield from _few_files(scene, where, soft)
    opened = process.num_fds()
    if soft != psutil.RLIM_INFINITY and opened > soft * scene.needs.share:
        yield error(
            "machine.files",
            where,
            f"It has {opened} files and connections open, of {soft} that it may have.",
            "`ulimit -n 8192` in the shell, then `penstock down` and `penstock up`; or another replica.",
        )
    limit, _ = process.rlimit(psutil.RLIMIT_AS)
    used = process.memory_info().vms
    if limit != psutil.RLIM_INFINITY and used > limit * scene.needs.share:
        yield error(
            "machine.process-memory",
            where,
            f"It uses {size(used)} of address space, of {size(limit)} that it may have.",
            "Raise the limit (`ulimit -v`) in the shell, then `penstock down` and `penstock up`.",
        )


def _few_files(scene: Scene, where: str, soft: int) -> Iterator[Finding]:
    if soft != psutil.RLIM_INFINITY and soft < scene.needs.files:
        yield warning(
            "machine.few-files",
            where,
            f"It may have only {soft} files and connections open; {scene.needs.files} and more are wanted.",
            "`ulimit -n 8192` in the shell that starts the stack.",
        )
