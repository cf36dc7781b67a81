"""Values that cannot be meant are refused, with words that say which and why."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.helm.tests.chart import CHART, HELM, SETS, helm, needs_helm, run

pytestmark = needs_helm

REFUSED = [
    # A name that there is not, at each depth.
    ("small", {"kafkaa": {}}, "additional properties 'kafkaa' not allowed"),
    ("small", {"kafka": {"bootstrap": "a:1"}}, "additional properties 'bootstrap' not allowed"),
    ("small", {"services": {"generaton": {"replicas": 2}}}, "additional properties 'generaton' not allowed"),
    (
        "small",
        {"services": {"gateway": {"resources": {"limits": {"memroy": "1Gi"}}}}},
        "'memroy' not allowed",
    ),
    ("small", {"services": {"gateway": {"autoscaling": {"tokens": 1}}}}, "'tokens' not allowed"),
    # What is needed.
    ("small", {"kafka": {"bootstrapServers": ""}}, "/kafka/bootstrapServers"),
    ("small", {"databases": {"accounts": {"existingSecret": ""}}}, "/databases/accounts/existingSecret"),
    ("small", {"databases": {"documents": None}}, "documents"),
    ("small", {"gateway": {"firstKeySecret": ""}}, "/gateway/firstKeySecret"),
    ("small", {"services": {"gateway": {"resources": {"limits": {"memory": None}}}}}, "memory"),
    # What has another form.
    ("small", {"kafka": {"bootstrapServers": "kafka"}}, "/kafka/bootstrapServers"),
    (
        "small",
        {"kafka": {"protocol": "TLS"}},
        "must be one of 'PLAINTEXT', 'SSL', 'SASL_PLAINTEXT', 'SASL_SSL'",
    ),
    ("small", {"images": {"tag": "latest"}}, "/images/tag"),
    ("small", {"tgi": {"image": "tgi"}}, "/tgi/image"),
    ("small", {"backends": ["http://tgi:8080"]}, "/backends/0"),
    ("small", {"qdrant": {"url": "qdrant:6333"}}, "/qdrant/url"),
    ("small", {"blobs": {"url": "file:///files"}}, "/blobs/url"),
    ("small", {"services": {"gateway": {"replicas": "two"}}}, "got string, want integer"),
    ("small", {"services": {"gateway": {"replicas": -1}}}, "minimum: got -1, want 0"),
    ("small", {"jobs": {"topics": {"replicationFactor": 0}}}, "minimum: got 0, want 1"),
    # What there may be only one of.
    ("small", {"services": {"ingestion": {"replicas": 2}}}, "maximum: got 2, want 1"),
    ("small", {"services": {"observer": {"replicas": 2}}}, "maximum: got 2, want 1"),
    # Secrets, and what is no setting.
    (
        "small",
        {"services": {"retrieval": {"env": {"PENSTOCK_QDRANT_API_KEY": "x"}}}},
        "PENSTOCK_QDRANT_API_KEY",
    ),
    ("small", {"services": {"gateway": {"env": {"PATH": "/x"}}}}, "PATH"),
    ("small", {"qdrant": {"url": "http://user:secret@qdrant:6333"}}, "/qdrant/url"),
    # What does not go together.
    ("small", {"inference": {"enabled": False}}, "no model server: set backends"),
    ("small", {"inference": {"enabled": False}, "backends": ["tgi+http://a:80"]}, "no embeddings server"),
    ("small", {"keda": {"enabled": True}}, "keda.enabled needs keda.prometheus.url"),
    ("small", {"monitoring": {"podMonitor": True}}, "needs networkPolicy.metricsFrom"),
    ("small", {"tgi": {"enabled": True}}, "tgi.enabled needs tgi.model"),
    ("small", {"ingress": {"enabled": True}}, "ingress.enabled needs ingress.host"),
    (
        "small",
        {"services": {"gateway": {"env": {"PENSTOCK_DRAIN_S": "5"}}}},
        "services.gateway.env: the chart itself sets PENSTOCK_DRAIN_S",
    ),
    ("small", {"extraEnv": [{"name": "A_PASSWORD", "value": "x"}]}, "/extraEnv/0"),
    ("small", {"extraEnv": [{"name": "A"}]}, "/extraEnv/0"),
    ("small", {"extraEnv": [{"name": "A", "value": "x", "valuefrom": {}}]}, "'valuefrom' not allowed"),
    (
        "small",
        {"services": {"retrieval": {"extraEnv": [{"name": "PENSTOCK_INSTANCE", "value": "x"}]}}},
        "extraEnv: the chart itself sets PENSTOCK_INSTANCE",
    ),
    (
        "small",
        {"extraEnv": [{"name": "PENSTOCK_STATE", "value": "/x"}]},
        "extraEnv: the chart itself sets PENSTOCK_STATE",
    ),
    (
        "small",
        {"services": {"generation": {"env": {"PENSTOCK_KAFKA_USER": "admin"}}}},
        "the chart itself sets PENSTOCK_KAFKA_USER",
    ),
    (
        "small",
        {"services": {"gateway": {"autoscaling": {"enabled": True, "min": 9, "max": 2}}}},
        "services.gateway.autoscaling: min is more than max",
    ),
    ("gpu", {"keda": {"enabled": False}}, "services.tgi.autoscaling.min: 0 needs keda.enabled"),
    ("gpu", {"models": []}, "name them in models"),
]


@pytest.mark.parametrize(("values", "wrong", "told"), REFUSED, ids=lambda one: json.dumps(one)[:60])
def test_refused(values: str, wrong: dict[str, Any], told: str, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(yaml.safe_dump(wrong))
    done = helm("template", values, "--values", str(file))
    assert done.returncode != 0
    assert told in done.stderr
    assert not done.stdout


def test_the_bare_chart_says_what_it_needs() -> None:
    done = run((str(HELM), "template", str(CHART), "--kube-version", "1.34.0"))
    for needed in (
        "/images/registry",
        "/kafka/bootstrapServers",
        "/databases/accounts/existingSecret",
        "/databases/documents/existingSecret",
        "/redis/existingSecret",
        "/gateway/firstKeySecret",
    ):
        assert needed in done.stderr


def test_an_older_cluster_is_refused() -> None:
    done = run(
        (str(HELM), "template", str(CHART), "--kube-version", "1.29.0", "--values", str(SETS["small"]))
    )
    assert "requires kubeVersion: >=1.30.0-0" in done.stderr


@pytest.mark.parametrize("values", SETS)
def test_lint(values: str) -> None:
    done = helm("lint", values, "--strict")
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_object_in_the_schema_is_open() -> None:
    """Else a misspelt name would go through. Open are those whose names are the user's."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    for path, node in _objects(schema, ""):
        is_open = "additionalProperties" not in node
        assert is_open == (path == "/properties/global"), path  # Helm's own, for parent charts


def _objects(node: object, path: str) -> list[tuple[str, dict[str, Any]]]:
    found = []
    if isinstance(node, dict):
        if node.get("type") == "object":
            found.append((path, node))
        for key, value in node.items():
            found += _objects(value, f"{path}/{key}")
    elif isinstance(node, list):
        for number, value in enumerate(node):
            found += _objects(value, f"{path}/{number}")
    return found
