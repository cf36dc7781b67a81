"""What is rendered is what Kubernetes, KEDA and the Prometheus operator take; the checker is tried, too."""

import json
from collections.abc import Callable

import pytest
import yaml

from infra.helm.schemas.render import DEFINITIONS, KUBERNETES, file_of
from infra.helm.tests import chart
from infra.helm.tests.chart import KUBECONFORM, SCHEMAS, SETS, conforms, objects, text

pytestmark = [
    chart.needs_helm,
    pytest.mark.skipif(not KUBECONFORM.is_file(), reason="no kubeconform: `make test-helm` builds it"),
]
ALL = {
    "priorityClassName": "high",
    "podAnnotations": {"a": "b"},
    "nodeSelector": {"c": "d"},
    "serviceAccountAnnotations": {"e": "f"},
    "tolerations": [{"key": "g", "operator": "Exists"}],
    "affinity": {
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"h": "i"}}}
            ]
        }
    },
    "extraEnv": [{"name": "J", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}],
    "env": {"PENSTOCK_MAX_UPLOADS": 8},
}
CORNERS = {
    "OpenShift": ("--api-versions", "security.openshift.io/v1"),
    "other names": ("--set", "fullnameOverride=p,nameOverride=q,images.pullSecrets={one,two}"),
    "no observer": ("--set", "observer.enabled=false"),
    "no policies": ("--set", "networkPolicy.enabled=false"),
    "no jobs": ("--set", "jobs.databases=false,jobs.acl=false,jobs.topics.enabled=false"),
    "TLS without users": ("--set", "kafka.protocol=SSL,kafka.caSecret=ca"),
    "users without TLS": ("--set", "kafka.protocol=SASL_PLAINTEXT,kafka.mechanism=PLAIN"),
    "a claim that is there": ("--set", "blobs.url=,blobs.volume.existingClaim=mine"),
    "storage classes": (
        "--set",
        "blobs.url=,blobs.volume.storageClass=fast,services.observer.storage.storageClass=fast",
    ),
    "another store": ("--set", "blobs.url=s3://b,blobs.endpoint=http://minio:9000,blobs.existingSecret=s"),
    "both servers": ("--set", "inference.enabled=true,services.inference.autoscaling.enabled=true"),
    "plain autoscaling": (
        "--set",
        "keda.enabled=false,services.tgi.autoscaling.min=1,services.gateway.autoscaling.enabled=true",
    ),
    "an ingress": ("--set", "ingress.enabled=true,ingress.host=a.example.com,ingress.tlsSecret=tls"),
    "whole numbers": (
        "--set",
        "services.gateway.resources.requests.cpu=1,services.observer.storage.size=1000000000",
    ),
    "nobody's model": ("--set", "tgi.tokenSecret=hub,tgi.download=false"),
    "all about a pod": ("--set-json", f"services.gateway={json.dumps(ALL)}"),
}


@pytest.mark.parametrize("values", SETS)
def test_the_sets_conform(values: str) -> None:
    assert conforms(text(values)) == {}


@pytest.mark.parametrize("values", SETS)
@pytest.mark.parametrize("corner", CORNERS)
def test_corners_conform(values: str, corner: str) -> None:
    assert conforms(text(values, *CORNERS[corner])) == {}


def _replaced(old: str, new: str) -> Callable[[str], str]:
    def replace(rendered: str) -> str:
        assert old in rendered
        return rendered.replace(old, new)

    return replace


@pytest.mark.parametrize(
    ("broken", "kind", "told"),
    [
        (
            _replaced("readOnlyRootFilesystem:", "readOnlyRootFileSystem:"),
            "Deployment",
            "readOnlyRootFileSystem",
        ),
        (
            _replaced("terminationGracePeriodSeconds: 22", "terminationGracePeriodSeconds: soon"),
            "Deployment",
            "want integer",
        ),
        (_replaced("minReplicaCount:", "minReplicas:"), "ScaledObject", "minReplicas"),
        (_replaced("secretTargetRef:", "secretRef:"), "TriggerAuthentication", "secretRef"),
        (_replaced("podMetricsEndpoints:", "endpoints:"), "PodMonitor", "endpoints"),
        (_replaced("policyTypes:", "policies:"), "NetworkPolicy", "policies"),
        (_replaced("backoffLimit:", "retries:"), "Job", "retries"),
        (
            _replaced("unhealthyPodEvictionPolicy:", "evictionPolicy:"),
            "PodDisruptionBudget",
            "evictionPolicy",
        ),
        (_replaced("preStop: {sleep:", "preStop: {wait:"), "Deployment", "wait"),
        (
            _replaced("apiVersion: autoscaling/v2", "apiVersion: autoscaling/v1"),
            "HorizontalPodAutoscaler",
            "schema",
        ),
        (_replaced("kind: PodMonitor", "kind: PodMonitors"), "PodMonitors", "could not find schema"),
        (_replaced("serviceName: ", "serviceName: &name\n  x: "), "StatefulSet", "x"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_what_is_wrong_is_found(broken: Callable[[str], str], kind: str, told: str) -> None:
    """A checker that passes everything would pass this chart as well."""
    plain = ("--set", "keda.enabled=false") if kind == "HorizontalPodAutoscaler" else ()
    found = conforms(broken(text("managed-kafka", *plain)))
    assert any(name.startswith(f"{kind}/") and told in message for name, message in found.items()), found


def test_the_stored_schemas_are_those_of_what_may_be_rendered() -> None:
    stored = {path.name for path in SCHEMAS.glob("*.json")} - {DEFINITIONS}
    plain = ("--set", "keda.enabled=false,services.tgi.autoscaling.min=1")
    rendered = [one for values in SETS for more in ((), plain) for one in objects(values, *more)]
    assert {file_of(one["apiVersion"], one["kind"]) for one in rendered} == stored


def test_the_checked_version_is_that_of_the_schemas() -> None:
    assert KUBERNETES.version.rpartition(".")[0] == f"v{chart.KUBERNETES.rpartition('.')[0]}"
    oldest = yaml.safe_load((chart.CHART / "Chart.yaml").read_text())["kubeVersion"]
    assert oldest == ">=1.30.0-0"


def test_the_schemas_are_strict() -> None:
    definitions = json.loads((SCHEMAS / DEFINITIONS).read_text())["definitions"]
    pod = definitions["io.k8s.api.core.v1.PodSpec"]
    assert pod["additionalProperties"] is False
    assert pod["required"] == ["containers"]
