"""Disks and folders: room, and whether what must be written can be; and who can read the key."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from penstock.devstack.doctor.finding import Finding, error, warning
from penstock.devstack.doctor.runner import in_thread
from penstock.devstack.doctor.scene import Scene
from penstock.devstack.doctor.words import size, some

_OTHERS = 0o077


async def look(scene: Scene) -> list[Finding]:
    """Free space, and permissions."""
    return await in_thread(_look, scene)


def _look(scene: Scene) -> list[Finding]:
    return [*_space(scene), *_folder(scene.state.folder), *_key(scene.state.api_key)]


def _space(scene: Scene) -> Iterator[Finding]:
    places = {"the state folder": scene.state.folder, "temporary files": Path(tempfile.gettempdir())}
    if scene.kafka_is_ours:
        places["Kafka's log"] = scene.state.folder / "kafka"
    disks: dict[int, tuple[Path, list[str]]] = {}
    for what, path in places.items():
        standing = _standing(path)
        disks.setdefault(standing.stat().st_dev, (standing, []))[1].append(what)
    for path, kept in disks.values():
        free = shutil.disk_usage(path).free
        if free < scene.needs.disk_low:
            tell = error if free < scene.needs.disk_least else warning
            yield tell(
                "disk.space",
                f"the disk of {' and '.join(kept)} ({path})",
                f"{size(free)} are free. When it is full, the broker ends and uploads fail.",
                "Free space, or move the state folder: PENSTOCK_STATE (TMPDIR for temporary files).",
            )


def _standing(path: Path) -> Path:
    """The path, or the nearest folder above it that there is."""
    # By os.path, which raises nothing either where this user may not look.
    return next(one for one in (path, *path.parents) if os.path.exists(one))


def _folder(state: Path) -> Iterator[Finding]:
    """Whether the stack could write where it keeps its state."""
    standing = _standing(state)
    where = f"state folder {state}"
    if not standing.is_dir():
        text = f"{standing} is a file: there can be no folder."
        yield error("disk.folder", where, text, "Remove the file, or set PENSTOCK_STATE to another place.")
        return
    inside = (
        [path for path in standing.iterdir() if path.is_dir()] if standing == state and _may(state) else []
    )
    closed = [str(path) for path in (standing, *sorted(inside)) if not _may(path)]
    if closed:
        yield error(
            "disk.folder",
            where,
            f"This user (id {os.geteuid()}) may not write in {some(closed)}.",
            "Give it to this user (`chown -R`), or set PENSTOCK_STATE to another place.",
        )


def _may(folder: Path) -> bool:
    return os.access(
        folder, os.R_OK | os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids
    )


def _key(file: Path) -> Iterator[Finding]:
    try:
        mode = file.stat().st_mode
    except OSError:
        return  # the gateway makes it at its first start
    if mode & _OTHERS:
        yield error(
            "disk.key",
            str(file),
            f"Others on this machine may read or change the API key (mode {mode & 0o777:o}).",
            f"`chmod 600 {file}`.",
        )
