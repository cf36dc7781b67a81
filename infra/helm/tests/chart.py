"""The chart as Helm renders it, in the pieces that the tests ask about."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

ROOT = Path(__file__).parents[3]
CHART = ROOT / "infra/helm/penstock"
SETS = {path.stem: path for path in sorted((ROOT / "infra/helm/values").glob("*.yaml"))}
SCHEMAS = ROOT / "infra/helm/schemas"
HELM = ROOT / ".cache/bin/helm"
KUBECONFORM = ROOT / ".cache/bin/kubeconform"
RELEASE, NAMESPACE, KUBERNETES = "penstock", "ai", "1.34.0"
Object = dict[str, Any]

needs_helm = pytest.mark.skipif(not HELM.is_file(), reason="no Helm: `make test-helm` builds it")


class Pod(NamedTuple):
    """A pod that some object makes: `component` is its label, `spec` its own."""

    component: str
    owner: Object
    spec: Object

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        labels: dict[str, str] = self.owner["spec"]["template"]["metadata"]["labels"]
        return labels

    @property
    def main(self) -> Object:
        """Its one container, beside those that come before it."""
        (container,) = self.spec["containers"]
        assert isinstance(container, dict)
        return container

    @property
    def containers(self) -> list[Object]:
        """All its containers."""
        return [*self.spec.get("initContainers", ()), *self.spec["containers"]]

    @property
    def ports(self) -> dict[str, int]:
        """Its ports by their names."""
        return {port["name"]: port["containerPort"] for port in self.main.get("ports", ())}

    @property
    def hook(self) -> str:
        """At which of Helm's events it runs; "" if it is part of the release."""
        return str(self.owner["metadata"].get("annotations", {}).get("helm.sh/hook", ""))

    @property
    def is_job(self) -> bool:
        """Whether it ends by itself."""
        return bool(self.owner["kind"] == "Job")


def run(command: Sequence[str], given: str = "") -> "subprocess.CompletedProcess[str]":
    """Run a program; the caller looks at what came of it."""
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603


def helm(verb: str, values: str, *more: str, release: str = RELEASE) -> "subprocess.CompletedProcess[str]":
    """Call `helm template` or `helm lint` with one of the sets of values, named, and some more."""
    name = (release,) if verb == "template" else ()
    fixed = ("--namespace", NAMESPACE, "--kube-version", KUBERNETES)
    return run((str(HELM), verb, *name, str(CHART), *fixed, "--values", str(SETS[values]), *more))


@cache
def text(values: str, *more: str, release: str = RELEASE) -> str:
    """Return what Helm renders."""
    done = helm("template", values, *more, release=release)
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def objects(values: str, *more: str, release: str = RELEASE) -> list[Object]:
    """Return the objects that Helm renders; they are shared, so leave them as they are."""
    return loaded(text(values, *more, release=release))


def loaded(rendered: str) -> list[Object]:
    """Return the objects in what Helm has rendered."""
    return [one for one in yaml.load_all(rendered, yaml.CSafeLoader) if one]


def of_kind(found: Sequence[Object], *kinds: str) -> dict[str, Object]:
    """Return the objects of these kinds by name."""
    return {one["metadata"]["name"]: one for one in found if one["kind"] in kinds}


def pods(found: Sequence[Object]) -> list[Pod]:
    """Return all pods."""
    owners = of_kind(found, "Deployment", "StatefulSet", "Job").values()
    return [
        Pod(owner["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"], owner, spec)
        for owner in owners
        for spec in [owner["spec"]["template"]["spec"]]
    ]


def environment(container: Object) -> dict[str, str | None]:
    """Return a container's variables; those whose values stand elsewhere are None."""
    names = [variable["name"] for variable in container.get("env", ())]
    assert len(names) == len(set(names)), f"{container['name']} sets a variable twice"
    return {variable["name"]: variable.get("value") for variable in container.get("env", ())}


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Return whether a label selector takes these labels."""
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    among = all(
        one["operator"] == "In" and labels.get(one["key"]) in one["values"]
        for one in selector.get("matchExpressions", ())
    )
    return wanted and among


def urls(value: str) -> Iterator[tuple[str, int]]:
    """Yield host and port of all addresses in a variable's value: URLs, or `host:port`, with commas."""
    for part in value.split(","):
        found = re.fullmatch(r"(?:[a-z0-9]+\+)?(?:(https?)://)?([\w.-]+)(?::(\d+))?(?:/.*)?", part)
        if found and (found[1] or found[3]):
            yield found[2], int(found[3] or {"http": 80, "https": 443}[found[1]])


def conforms(rendered: str) -> dict[str, str]:
    """Return what kubeconform has to say against objects, by kind and name; the rest under ""."""
    fixed = ("-strict", "-output", "json", "-kubernetes-version", KUBERNETES)
    where = ("-schema-location", f"{SCHEMAS}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json")
    done = run((str(KUBECONFORM), *fixed, *where, "-summary", "-"), rendered)
    told = json.loads(done.stdout)
    found = {f"{one['kind']}/{one['name']}": one["msg"] for one in told["resources"]}
    summary = told["summary"]
    counted = summary["valid"] + len(found)
    if summary["skipped"] or counted != len(loaded(rendered)):
        found[""] = f"not all was looked at: {summary}"
    assert (done.returncode != 0) == bool(found), done.stderr
    return found
