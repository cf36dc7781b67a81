"""Write the schemas that kubeconform checks the chart's output with: `python -m infra.helm.schemas.render`.

They are made from what Kubernetes, KEDA and the Prometheus operator publish in their Go modules, which any
Go proxy has, and are kept here, so that checking needs no network. Strict: a field that there is not is an
error, and so is `null`. Only the kinds that the chart may write are kept; descriptions are left out.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

FOLDER = Path(__file__).parent
DEFINITIONS = "_definitions.json"
Schema = dict[str, Any]
_LEFT_OUT = frozenset({"description", "default", "example", "externalDocs"})


class Module(NamedTuple):
    """A version of a Go module, and the hash of its content as go.sum would have it."""

    path: str
    version: str
    hash: str


KUBERNETES = Module("k8s.io/kubernetes", "v1.34.4", "h1:Yy6R4QB8C9kJPp25GFqEvX5XQwY5qzKeqD0Xx6oAcmk=")
KEDA = Module("github.com/kedacore/keda/v2", "v2.16.1", "h1:LfYsxfSX8DjetLW8q9qnriImH936POrQJvE+caRoScI=")
OPERATOR = Module(
    "github.com/prometheus-operator/prometheus-operator",
    "v0.85.0",
    "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
)
SPEC = "api/openapi-spec/swagger.json"
QUANTITY_OF = "io.k8s.apimachinery.pkg.api.resource.Quantity"
QUANTITY: Schema = {"type": ["number", "string"]}
"""The specification says string, and the server takes numbers as well."""
KINDS = {
    "apps/v1": ("Deployment", "StatefulSet"),
    "autoscaling/v2": ("HorizontalPodAutoscaler",),
    "batch/v1": ("Job",),
    "networking.k8s.io/v1": ("Ingress", "NetworkPolicy"),
    "policy/v1": ("PodDisruptionBudget",),
    "v1": ("PersistentVolumeClaim", "Service", "ServiceAccount"),
}
CUSTOM = (
    (KEDA, "config/crd/bases/keda.sh_scaledobjects.yaml"),
    (KEDA, "config/crd/bases/keda.sh_triggerauthentications.yaml"),
    (OPERATOR, "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml"),
)


def file_of(api_version: str, kind: str) -> str:
    """Return the name of a kind's schema: kubeconform's `{{.ResourceKind}}{{.KindSuffix}}.json`."""
    group, _, version = api_version.rpartition("/")
    return "-".join(filter(None, (kind.lower(), group.partition(".")[0], version))) + ".json"


def strict(node: Any) -> Any:
    """Return a schema that admits no field but those it names, as JSON Schema knows it."""
    if isinstance(node, list):
        return [strict(one) for one in node]
    if not isinstance(node, Mapping):
        return node
    if node.get("x-kubernetes-int-or-string") or node.get("format") == "int-or-string":
        return {"type": ["integer", "string"]}
    made: Schema = {}
    for key, value in node.items():
        if key == "properties":
            made[key] = {name: strict(schema) for name, schema in value.items()}
        elif not (key in _LEFT_OUT or key.startswith("x-kubernetes-")):
            made[key] = strict(value)
    if "properties" in made and not node.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


def root(api_version: str, kind: str, schema: Schema) -> Schema:
    """Return the schema of a whole object: it must say what it is, and have a name."""
    fixed = {"apiVersion": {"const": api_version}, "kind": {"const": kind}}
    properties = {**schema.get("properties", {}), **fixed}
    required = sorted({*schema.get("required", ()), "apiVersion", "kind", "metadata"})
    return {**schema, "properties": properties, "required": required}


def built_in(spec: Mapping[str, Any]) -> Iterator[tuple[str, Schema]]:
    """Yield the schemas of Kubernetes' own kinds, and last what they refer to."""
    definitions: Mapping[str, Any] = spec["definitions"]
    found: dict[str, Schema] = {}
    for api_version, kinds in KINDS.items():
        group, _, version = api_version.rpartition("/")
        for kind in kinds:
            wanted = {"group": group, "kind": kind, "version": version}
            schema = next(
                schema
                for schema in definitions.values()
                if schema.get("x-kubernetes-group-version-kind") == [wanted]
            )
            made = _pointing(strict(schema), definitions, found)
            yield file_of(api_version, kind), root(api_version, kind, made)
    yield DEFINITIONS, {"definitions": dict(sorted(found.items()))}


def _pointing(node: Any, definitions: Mapping[str, Any], found: dict[str, Schema]) -> Any:
    """Return the schema with references into one file, having put there what is referred to."""
    if isinstance(node, list):
        return [_pointing(one, definitions, found) for one in node]
    if not isinstance(node, Mapping):
        return node
    if "$ref" in node:
        name = node["$ref"].removeprefix("#/definitions/")
        if name not in found:
            found[name] = {}  # it may refer to itself
            found[name] = (
                QUANTITY if name == QUANTITY_OF else _pointing(strict(definitions[name]), definitions, found)
            )
        return {"$ref": f"{DEFINITIONS}#/definitions/{name}"}
    return {key: _pointing(value, definitions, found) for key, value in node.items()}


def custom(definition: Mapping[str, Any]) -> Iterator[tuple[str, Schema]]:
    """Yield the schemas of all served versions of a custom kind. Its metadata is Kubernetes' own."""
    group, kind = definition["spec"]["group"], definition["spec"]["names"]["kind"]
    metadata = {"$ref": f"{DEFINITIONS}#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
    for version in definition["spec"]["versions"]:
        if version["served"]:
            api_version = f"{group}/{version['name']}"
            schema = strict(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = metadata
            yield file_of(api_version, kind), root(api_version, kind, schema)


def fetched(module: Module) -> Path:
    """Return the folder of a module's content, fetched if need be. Raises SystemExit if it is another one."""
    call = ("go", "mod", "download", "-json", f"{module.path}@{module.version}")
    done = subprocess.run(call, capture_output=True, text=True, check=False)  # noqa: S603  # go, with constants
    told = json.loads(done.stdout or "{}")
    if told.get("Sum") != module.hash:
        raise SystemExit(f"{module.path}@{module.version}: {told.get('Error') or 'not the content it was'}")
    return Path(told["Dir"])


def main() -> None:
    """Write all schemas anew."""
    for old in FOLDER.glob("*.json"):
        old.unlink()
    made = dict(built_in(json.loads((fetched(KUBERNETES) / SPEC).read_text("utf-8"))))
    for module, path in CUSTOM:
        made.update(custom(yaml.safe_load((fetched(module) / path).read_text("utf-8"))))
    for name, schema in made.items():
        text = json.dumps(schema, separators=(",", ":"), sort_keys=True)
        (FOLDER / name).write_text(f"{text}\n", encoding="utf-8")
    sys.stdout.write(f"{len(made)} schemas in {FOLDER}\n")


if __name__ == "__main__":
    main()
