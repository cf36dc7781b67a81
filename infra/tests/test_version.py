"""The version stands in pyproject.toml; everything else takes it from there, or is compared here."""

import re
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
MEMBERS = sorted([*ROOT.glob("libs/*/pyproject.toml"), *ROOT.glob("services/*/pyproject.toml")])
RENDERED = ("contracts/asyncapi.yaml", "contracts/openapi.yaml", "contracts/released/")
# Helm wants it in the chart itself.
CHART = "infra/helm/penstock/Chart.yaml"
LOCKS = (".lock", "package-lock.json", "go.sum", "go.mod")


@pytest.mark.parametrize("member", MEMBERS, ids=lambda path: path.parent.name)
def test_a_package_has_the_version_of_the_checkout(member: Path) -> None:
    declared = tomllib.loads(member.read_text())
    assert "version" in declared["project"]["dynamic"]
    assert (member.parent / declared["tool"]["hatch"]["version"]["path"]).resolve() == ROOT / "pyproject.toml"
    if member.parent.name != "trainer":  # it has an environment of its own
        assert metadata.version(declared["project"]["name"]) == VERSION


def test_the_chart_has_the_version_of_the_checkout() -> None:
    chart = yaml.safe_load((ROOT / CHART).read_text())
    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION)


@pytest.mark.parametrize("name", RENDERED[:2])
def test_a_contract_has_the_version_of_the_checkout(name: str) -> None:
    assert yaml.safe_load((ROOT / name).read_text())["info"]["version"] == VERSION


def test_the_version_stands_nowhere_else() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607
    repeated = re.compile(
        rf"(version|tag|image|penstock).*(?<![\d.]){re.escape(VERSION)}(?![\d.])", re.IGNORECASE
    )
    found = {
        name
        for name in listed.stdout.splitlines()
        if not name.endswith((*LOCKS, ".md")) and not name.startswith(RENDERED) and _mentions(name, repeated)
    }
    assert found == {"pyproject.toml", CHART}


def _mentions(name: str, wanted: re.Pattern[str]) -> bool:
    data = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
    return b"\0" not in data[:8192] and any(
        wanted.search(line) for line in data.decode(errors="replace").splitlines()
    )
