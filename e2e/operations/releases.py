"""Two versions of Penstock side by side, each in a folder of its own, and a link that says which one runs.

A process that runs may still load a module; so the files below it must not change, and a new version is
put beside the old one. The supervisor is started by the Python behind the link, and starts each service
from there: once the link leads to the new version, whatever is started again is new.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from penstock.devstack.jars import jars_folder
from penstock.devstack.root import find_root

ROOT = find_root()
BEFORE_TAGS = "f5cfcc3"
"""The last version before migrations became a job: what to come from while no version has a tag."""
_MIGRATIONS = Path("penstock/gateway/adapters/migrations/versions")

_MIGRATION = """\
import sqlalchemy as sa
from alembic import op

revision = "{number}"
down_revision = "{newest}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tenants", sa.Column("of_a_test", sa.String(16), nullable=True))


def downgrade() -> None:
    op.drop_column("tenants", "of_a_test")
"""


class NoRelease(Exception):
    """The old version cannot be had; one line says why."""


def old_ref() -> str:
    """The commit or tag to come from: `PENSTOCK_UPGRADE_FROM`, else the newest tag before HEAD's own commit.

    Raises NoRelease if the checkout does not have it.
    """
    wanted = os.environ.get("PENSTOCK_UPGRADE_FROM") or _newest_tag() or BEFORE_TAGS
    found = _git("rev-parse", "--verify", "--quiet", f"{wanted}^{{commit}}")
    if not found and os.environ.get("PENSTOCK_UPGRADE_FROM"):
        raise ValueError(f"PENSTOCK_UPGRADE_FROM: this checkout has no commit {wanted}")
    if not found:
        raise NoRelease(f"this checkout has no commit {wanted}: set PENSTOCK_UPGRADE_FROM")
    return found


def _newest_tag() -> str:
    return _git("describe", "--tags", "--abbrev=0", "HEAD^")


def _git(*words: str) -> str:
    """What git says, or nothing where it fails."""
    git = shutil.which("git")
    if git is None:
        raise NoRelease("git is not installed")
    done = subprocess.run([git, "-C", ROOT, *words], capture_output=True, text=True, check=False)  # noqa: S603  # our words
    return done.stdout.strip() if done.returncode == 0 else ""


def check_out(ref: str, folder: Path) -> Path:
    """Clone this repository at a commit into `folder`, and set it up there by its own `make setup`.

    Raises RuntimeError if that cannot be done.
    """
    # A clone whose objects stay where they are: nothing is copied but the files.
    _git("clone", "--quiet", "--shared", "--no-checkout", str(ROOT), str(folder))
    _git("-C", str(folder), "checkout", "--quiet", ref)
    if not (folder / "Makefile").exists():
        raise RuntimeError(f"{ref[:12]} could not be cloned into {folder}")
    clean = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "MAKEFLAGS")}
    base = Path(sys.base_prefix) / "bin" / "python3"
    done = subprocess.run(  # noqa: S603  # our words
        ["make", "--no-print-directory", "setup", f"PYTHON={base}"],  # noqa: S607
        cwd=folder,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"make setup of {ref[:12]} failed: {(done.stderr or done.stdout).strip()[-300:]}")
    return folder


def with_one_more_migration(folder: Path) -> tuple[Path, str]:
    """Make a release of this tree with one more revision of the accounts database; its number, too.

    The revision only adds, as all must (ADR 12). The programs are this tree's, told to look there first.
    """
    package = folder / "more"
    shutil.copytree(ROOT / "services" / "gateway" / "src", package)
    versions = package / _MIGRATIONS
    newest = max(file.name.partition("_")[0] for file in versions.glob("[0-9]*.py"))
    number = f"{int(newest) + 1:04d}"
    body = _MIGRATION.format(number=number, newest=newest)
    (versions / f"{number}_only_of_this_test.py").write_text(body, encoding="utf-8")
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    for real in [Path(sys.executable), *Path(sys.executable).parent.glob("penstock*")]:
        program = programs / real.name
        body = f'export PYTHONPATH={shlex.quote(str(package))}\nexec {shlex.quote(str(real))} "$@"'
        program.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        program.chmod(0o700)
    return folder, number


class Current:
    """The link that says which release runs."""

    def __init__(self, link: Path) -> None:
        self.link = link

    @property
    def python(self) -> Path:
        """The Python of whichever release the link leads to."""
        return self.link / ".venv" / "bin" / "python"

    def lead_to(self, release: Path) -> None:
        """Change it in one step: nobody finds no release."""
        new = self.link.with_name(f"{self.link.name}.new")
        new.symlink_to(release)
        new.replace(self.link)


def jars() -> Path:
    """Kafka's jars, which both releases may share."""
    return jars_folder(ROOT)
