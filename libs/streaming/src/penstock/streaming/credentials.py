"""Secrets in settings: given as a variable `PENSTOCK_X`, or as a file that `PENSTOCK_X_FILE` names."""

from functools import cached_property
from pathlib import Path
from typing import Self

from pydantic import SecretStr, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

_LONGEST = 4096


def read_secret(name: str, given: SecretStr | None, file: Path | None) -> SecretStr | None:
    """Return the secret of the variable `name` or of its file, without white space at the file's end.

    Raises a validation error if both are set or the file cannot be read.
    """
    if file is None:
        return given
    if given is not None:
        raise unusable(f"Set either {name} or {name}_FILE")
    try:
        with file.open(encoding="utf-8") as opened:
            return SecretStr(opened.read(_LONGEST).rstrip())
    except OSError as error:
        raise unusable(f"{name}_FILE: {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise unusable(f"{name}_FILE: {file} is not text in UTF-8") from error


def read_token(name: str, given: SecretStr | None, file: Path | None) -> SecretStr | None:
    """Return a secret that can be sent as a bearer token. Raises a validation error if it cannot."""
    token = read_secret(name, given, file)
    if token is not None and not _is_token(token.get_secret_value()):
        source = name if file is None else f"{name}_FILE"
        raise unusable(f"{source} is not usable: a key is one word of printable ASCII")
    return token


def unusable(text: str) -> PydanticCustomError:
    """Return the error of settings that do not go together, for a validator to raise."""
    return PydanticCustomError("credentials", "{text}", {"text": text})


def _is_token(text: str) -> bool:
    return text.isascii() and text.isprintable() and bool(text) and " " not in text


class ObserverKey(BaseSettings):
    """The key that the observer's callers send. A caller with it chooses the tenant that it acts for."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_", env_ignore_empty=True, extra="ignore")

    observer_key: SecretStr | None = None
    """Sent to the observer as a bearer token; the same in the gateway and the observer."""
    observer_key_file: Path | None = None
    """A file that holds the key; white space at its end does not count."""

    @cached_property
    def key_of_observer(self) -> SecretStr | None:
        """Return the key; its file is read once."""
        return read_token("PENSTOCK_OBSERVER_KEY", self.observer_key, self.observer_key_file)

    @model_validator(mode="after")
    def _observer_key_can_be_used(self) -> Self:
        _ = self.key_of_observer
        return self
