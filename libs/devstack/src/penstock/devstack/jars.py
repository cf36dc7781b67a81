"""Brings Kafka's jars into ``.cache/kafka`` with Maven, once: ``python -m penstock.devstack.jars``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from penstock.devstack.errors import DevstackError
from penstock.devstack.java import WITHOUT_JAVA, find_java
from penstock.devstack.root import find_root

MAVEN_TIMEOUT_S = 900
_POM = Path("infra/kafka/pom.xml")


def jars_folder(root: Path) -> Path:
    """``.cache/kafka`` below the checkout, or PENSTOCK_KAFKA_JARS (say, a Kafka download's ``libs``)."""
    given = os.environ.get("PENSTOCK_KAFKA_JARS", "")
    return Path(given).absolute() if given else root / ".cache" / "kafka"


def class_path(folder: Path) -> str:
    """Every jar of the folder, sorted; DevstackError if Kafka is not among them."""
    jars = sorted(folder.glob("*.jar"))
    if not any(jar.name.startswith("kafka_") for jar in jars):
        raise DevstackError(f"Kafka's jars are not in {folder}: run `make kafka`. {WITHOUT_JAVA}")
    return os.pathsep.join(str(jar) for jar in jars)


def jars_are_there(root: Path) -> bool:
    """True if nothing has to be fetched: the jars are those of today's pom.xml, or the user's own."""
    folder = jars_folder(root)
    if not any(folder.glob("kafka_*.jar")):
        return False
    if os.environ.get("PENSTOCK_KAFKA_JARS"):
        return True
    kept, wanted = folder / _POM.name, root / _POM
    return not wanted.is_file() or (kept.is_file() and kept.read_bytes() == wanted.read_bytes())


def find_maven() -> str:
    """The path of Maven; DevstackError if there is none, or no Java to run it."""
    find_java()
    maven = shutil.which("mvn")
    if maven is None:
        raise DevstackError(f"Kafka's jars come by Maven, and there is no `mvn` on the PATH. {WITHOUT_JAVA}")
    return maven


def check(root: Path) -> None:
    """DevstackError if this machine lacks what set-up or Kafka needs; changes nothing."""
    if sys.version_info < (3, 11):  # noqa: UP036 set-up starts on whatever Python there is
        raise DevstackError("Penstock needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 run")
    if os.environ.get("PENSTOCK_KAFKA"):
        return
    if jars_are_there(root):
        find_java()
    else:
        find_maven()


def ensure_jars(root: Path) -> Path:
    """Resolves the jars if they are missing (a few seconds, 44 MB) and returns their folder."""
    folder = jars_folder(root)
    if jars_are_there(root):
        return folder
    maven = find_maven()
    pom = root / _POM
    if not pom.is_file():
        raise DevstackError(f"{pom} is missing: run this inside the Penstock checkout. {WITHOUT_JAVA}")
    sys.stdout.write("==> Kafka's jars (44 MB by Maven, once)\n")
    sys.stdout.flush()
    # Into a folder beside it, then renamed: an interrupted download never looks complete.
    partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
    try:
        _resolve(maven, pom, partial)
        shutil.copyfile(pom, partial / _POM.name)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _resolve(maven: str, pom: Path, target: Path) -> None:
    command = [maven, "-q", "-B", "-ntp", "-f", str(pom)]
    command += [f"-Djars.folder={target}", "dependency:copy-dependencies"]
    # One JVM for half a minute: the quick compiler alone makes it about a third faster.
    env = os.environ | {"MAVEN_OPTS": f"-XX:TieredStopAtLevel=1 {os.environ.get('MAVEN_OPTS', '')}".strip()}
    try:
        done = subprocess.run(  # noqa: S603 the path comes from `which`
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=env,
            timeout=MAVEN_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DevstackError(f"Maven did not finish within {MAVEN_TIMEOUT_S} s. {WITHOUT_JAVA}") from error
    if done.returncode != 0:
        reasons = [line for line in done.stdout.splitlines() if "ERROR" in line] or [
            f"exit code {done.returncode}"
        ]
        raise DevstackError(f"Maven could not resolve Kafka's jars: {reasons[0].strip()}. {WITHOUT_JAVA}")


def main() -> None:
    """``python -m penstock.devstack.jars [--check]``; no jars are needed if PENSTOCK_KAFKA names a broker."""
    try:
        if "--check" in sys.argv[1:]:
            check(find_root())
        elif not os.environ.get("PENSTOCK_KAFKA"):
            ensure_jars(find_root())
    except DevstackError as error:
        sys.stderr.write(f"penstock: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
