"""The first key in a file: our own of mode 600, or one that was given (port: KeyStore)."""

import os
import secrets
from pathlib import Path

from penstock.gateway.domain.keys import looks_like_key
from penstock.gateway.ports import UnusableKey

MODE = 0o600


class KeyFile:
    """One key, alone in one file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> str | None:
        try:
            # Whoever copied the file here may have opened it to all.
            self.path.chmod(MODE)
            key = self.path.read_text("utf-8", errors="replace").strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnusableKey(f"{self.path} cannot be read: {error.strerror}") from error
        return _checked(self.path, key, "Delete it to get a new one")

    def keep(self, key: str) -> str:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Written aside and linked into place: nobody ever sees half a key, and a file that is there stays.
        aside = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "w") as file:
            file.write(f"{key}\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(aside, self.path)
        except FileExistsError:
            return self.read() or key
        finally:
            aside.unlink()
        return key


class GivenKey:
    """One key, alone in a file that is not ours to change: a secret that was mounted."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> str | None:
        try:
            key = self.path.read_text("utf-8", errors="replace").strip()
        except OSError as error:
            reason = f"PENSTOCK_FIRST_KEY_FILE: {self.path} cannot be read: {error.strerror}"
            raise UnusableKey(reason) from error
        return _checked(self.path, key, "Put one into it, or unset PENSTOCK_FIRST_KEY_FILE")

    def keep(self, key: str) -> str:  # noqa: ARG002  the port's
        raise UnusableKey(f"{self.path} is not written to")


def _checked(path: Path, key: str, advice: str) -> str:
    if not looks_like_key(key):
        raise UnusableKey(f"{path} holds no API key. {advice}")
    return key
