"""What a secured embedded broker needs: a certificate of an authority of its own, a password for each user.

All of it is made once, in one folder of mode 700, by the JDK's `keytool`. The authority's private key is
thrown away as soon as it has signed the broker's certificate: nobody can make a second one. No secret stands
on a command line, where others could see it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import SecretStr

from penstock.devstack.errors import DevstackError
from penstock.devstack.java import find_java
from penstock.messages.flows import SERVICES
from penstock.streaming.connection import ADMIN, KafkaConnection

USERS = (ADMIN, *SERVICES)
_DAYS = "3650"
_KEYTOOL_TIMEOUT_S = 60


@dataclass(frozen=True)
class Security:
    """The files in one folder; `prepare` makes those that are missing."""

    folder: Path

    @property
    def authority(self) -> Path:
        """The certificate that clients trust, PEM."""
        return self.folder / "ca.pem"

    @property
    def keystore(self) -> Path:
        """The broker's private key and certificates, PKCS #12, locked by `keystore_password`."""
        return self.folder / "broker.p12"

    @property
    def _keystore_password(self) -> Path:
        return self.folder / "broker.password"

    @property
    def keystore_password(self) -> str:
        """What the broker opens its keystore with."""
        return self._keystore_password.read_text(encoding="ascii")

    def password_file(self, user: str) -> Path:
        """The file of a user's password, of mode 600."""
        return self.folder / "users" / user

    def password(self, user: str) -> str:
        """A user's password. DevstackError if it cannot be read."""
        try:
            return self.password_file(user).read_text(encoding="ascii")
        except OSError as error:
            raise DevstackError(
                f"The password of {user}: {self.password_file(user)}: {error.strerror}"
            ) from error

    def connection(self, servers: str, user: str = ADMIN) -> KafkaConnection:
        """How a user reaches the broker."""
        password = SecretStr(self.password(user))
        return KafkaConnection(servers, "SASL_SSL", "SCRAM-SHA-512", user, password, self.authority)

    def bootstrap(self, servers: str) -> KafkaConnection:
        """How the admin reaches a broker that has no SCRAM users yet: it knows this one by its settings."""
        return replace(self.connection(servers), mechanism="PLAIN")

    def environment(self, user: str) -> dict[str, str]:
        """The variables by which a service reaches the broker as this user."""
        return {
            "PENSTOCK_KAFKA_PROTOCOL": "SASL_SSL",
            "PENSTOCK_KAFKA_MECHANISM": "SCRAM-SHA-512",
            "PENSTOCK_KAFKA_USER": user,
            "PENSTOCK_KAFKA_PASSWORD": "",
            "PENSTOCK_KAFKA_PASSWORD_FILE": str(self.password_file(user)),
            "PENSTOCK_KAFKA_CA": str(self.authority),
        }

    @property
    def _mark(self) -> Path:
        return self.folder / "in-force"

    @property
    def in_force(self) -> bool:
        """Whether the stack of this folder was last started with it."""
        return self._mark.is_file()

    def put(self, *, in_force: bool) -> None:
        """Prepares it for a start, or notes that the start does without."""
        if in_force:
            self.prepare()
            self._mark.touch()
        else:
            self._mark.unlink(missing_ok=True)

    def prepare(self) -> None:
        """Makes what is missing; a second or two for each of six calls of `keytool`, once."""
        (self.folder / "users").mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        for user in USERS:
            make_secret(self.password_file(user))
        if not (self.authority.is_file() and self.keystore.is_file()):
            make_secret(self._keystore_password)
            self._make_certificate()

    def _make_certificate(self) -> None:
        # Beside it, then moved: an interrupted start leaves nothing that looks complete.
        with tempfile.TemporaryDirectory(dir=self.folder, prefix="making-") as name:
            _Maker(Path(name), self._keystore_password).make()
            self.keystore.unlink(missing_ok=True)
            (Path(name) / "ca.pem").replace(self.authority)
            (Path(name) / "broker.p12").chmod(0o600)
            (Path(name) / "broker.p12").replace(self.keystore)


PLAIN_ENVIRONMENT = {
    "PENSTOCK_KAFKA_PROTOCOL": "PLAINTEXT",
    "PENSTOCK_KAFKA_USER": "",
    "PENSTOCK_KAFKA_PASSWORD": "",
    "PENSTOCK_KAFKA_PASSWORD_FILE": "",
    "PENSTOCK_KAFKA_CA": "",
}
"""The variables for an embedded broker without security, whatever the user has set for another one."""


@dataclass(frozen=True)
class _Maker:
    """Makes `ca.pem` and `broker.p12` in a folder."""

    folder: Path
    password_file: Path

    def make(self) -> None:
        key = ("-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-validity", _DAYS)
        self._keytool(
            "ca.p12", *key, "-alias", "ca", "-dname", "CN=Penstock local CA", "-ext", "bc:critical=ca:true"
        )
        self._keytool("ca.p12", "-exportcert", "-rfc", "-alias", "ca", "-file", "ca.pem")
        self._keytool("broker.p12", *key, "-alias", "broker", "-dname", "CN=localhost")
        self._keytool("broker.p12", "-certreq", "-alias", "broker", "-file", "broker.csr")
        names = "san=ip:127.0.0.1,dns:localhost"
        signed = (
            "-gencert",
            "-rfc",
            "-alias",
            "ca",
            "-validity",
            _DAYS,
            "-ext",
            names,
            "-ext",
            "eku=serverAuth",
        )
        self._keytool("ca.p12", *signed, "-infile", "broker.csr", "-outfile", "broker.pem")
        # The reply is taken when the chain ends in a certificate of the keystore.
        chain = (self.folder / "broker.pem").read_bytes() + (self.folder / "ca.pem").read_bytes()
        (self.folder / "chain.pem").write_bytes(chain)
        self._keytool("broker.p12", "-importcert", "-noprompt", "-alias", "broker", "-file", "chain.pem")

    def _keytool(self, store: str, *arguments: str) -> None:
        command = [_find_keytool(), *arguments, "-keystore", store, "-storetype", "PKCS12"]
        command += ["-storepass:file", str(self.password_file)]
        try:
            done = subprocess.run(  # noqa: S603 the JDK's own tool
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=_KEYTOOL_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DevstackError(f"keytool could not make the broker's certificate: {error}") from error
        if done.returncode != 0:
            reason = (done.stdout.strip().splitlines() or ["no output"])[-1]
            raise DevstackError(f"keytool could not make the broker's certificate: {reason}")


def _find_keytool() -> str:
    """The tool beside the Java that runs the broker, else the one on the PATH."""
    beside = Path(find_java()).resolve().with_name("keytool")
    found = str(beside) if beside.is_file() else shutil.which("keytool")
    if found is None:
        raise DevstackError("There is no `keytool`, which comes with Java and makes the broker's certificate")
    return found


def make_secret(file: Path) -> None:
    """Makes a file with 256 random bits, readable for its owner only, unless it is there."""
    if file.is_file() and file.stat().st_size:
        return
    partial = file.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(
        os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii"
    ) as opened:
        opened.write(secrets.token_urlsafe(32))
    partial.replace(file)
