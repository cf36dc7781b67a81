"""Who may reach whom: just those that have each other's address, and nobody else."""

from collections.abc import Iterator

import pytest

from infra.helm.tests.chart import (
    SETS,
    Object,
    Pod,
    environment,
    needs_helm,
    objects,
    of_kind,
    pods,
    selects,
    urls,
)
from penstock.gateway.adapters.http.app import create_app

pytestmark = [needs_helm, pytest.mark.parametrize("values", SETS)]
Edge = tuple[str, str, int]
DNS = {("UDP", 53), ("TCP", 53)}
IN_SECRETS = {"PENSTOCK_ACCOUNTS_DB": 5432, "PENSTOCK_DOCUMENTS_DB": 5432, "PENSTOCK_CELERY_BROKER": 6379}
"""What has its address in a Secret, with the usual ports."""


def _peers(found: list[Object], pod: Pod) -> Iterator[tuple[str, int]]:
    """Yield component and port, or host and port, of all that a pod has the address of."""
    targets = {
        name: next(
            one for one in pods(found) if selects({"matchLabels": service["spec"]["selector"]}, one.labels)
        )
        for name, service in of_kind(found, "Service").items()
    }
    arguments = {f"argument {word}": word for word in pod.main.get("command", ()) if "://" in word}
    for name, value in (environment(pod.main) | arguments).items():
        for host, port in urls(value or ""):
            first, _, rest = host.partition(".")
            service = host if host in targets else rest
            if service in targets:
                assert port in targets[service].ports.values(), f"{name}: {host} has no port {port}"
                assert service == host or first.startswith(f"{service}-")  # a pod of a StatefulSet
                yield targets[service].component, port
            else:
                yield host, port
        if name in IN_SECRETS:
            yield name, IN_SECRETS[name]
        if name == "HF_HOME" or (name == "PENSTOCK_BLOBS" and value and value.startswith("s3:")):
            yield name, 443


def _policies(found: list[Object], pod: Pod, way: str) -> Iterator[Object]:
    """Yield the rules of one way that hold for a pod."""
    for policy in of_kind(found, "NetworkPolicy").values():
        if selects(policy["spec"]["podSelector"], pod.labels):
            assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
            yield from policy["spec"].get(way, ())


def _inside(found: list[Object], way: str) -> set[Edge]:
    """Return all pairs, caller first, that the rules of one way let through between pods of the release."""
    edges = set()
    for pod in pods(found):
        for rule in _policies(found, pod, way):
            for peer in rule.get("from" if way == "ingress" else "to", ()):
                for other in pods(found):
                    if "podSelector" in peer and selects(peer["podSelector"], other.labels):
                        caller, callee = (other, pod) if way == "ingress" else (pod, other)
                        for port in rule["ports"]:
                            edges.add((caller.component, callee.component, port["port"]))
    return edges


def test_just_those_with_an_address_get_in(values: str) -> None:
    found = objects(values)
    components = {pod.component for pod in pods(found)}
    expected = {
        (pod.component, peer, port)
        for pod in pods(found)
        for peer, port in _peers(found, pod)
        if peer in components
    }
    assert len(expected) > 8
    assert _inside(found, "ingress") == expected
    assert _inside(found, "egress") == expected


def test_only_the_gateway_reaches_ingestion(values: str) -> None:
    """Ingestion takes the tenant from a header, and knows no keys."""
    found = objects(values)
    assert {a for a, b, _ in _inside(found, "ingress") if b == "ingestion"} == {"gateway"}
    (pod,) = (one for one in pods(found) if one.component == "ingestion")
    from_outside = [rule for rule in _policies(found, pod, "ingress") if not _named(rule)]
    assert all({port["port"] for port in rule["ports"]} == {8081} for rule in from_outside)


def test_only_the_gateway_has_the_observers_key(values: str) -> None:
    """All export spans to the observer's port: the key tells the gateway from them."""
    found = objects(values)
    exporters = {a for a, b, _ in _inside(found, "ingress") if b == "observer"}
    assert exporters > {"gateway", "ingestion-worker"}
    with_key = {
        pod.component: variable["valueFrom"]["secretKeyRef"]
        for pod in pods(found)
        for variable in pod.main["env"]
        if variable["name"] == "PENSTOCK_OBSERVER_KEY"
    }
    # Optional: an upgrade from a release without it goes through, and the views stay closed.
    secret = {"name": "penstock-observer-key", "key": "key", "optional": True}
    assert with_key == {"gateway": secret, "observer": secret}


def _named(rule: Object) -> bool:
    return all("podSelector" in peer and "namespaceSelector" not in peer for peer in rule.get("from", [{}]))


def test_outside_just_what_has_an_address_is_reached(values: str) -> None:
    # One set has another port for Redis; that it counts is shown below.
    found = objects(values, "--set", "networkPolicy.outside.redis.ports={6379}")
    components = {pod.component for pod in pods(found)}
    for pod in pods(found):
        wanted = {port for peer, port in _peers(found, pod) if peer not in components}
        rules = [
            rule
            for rule in _policies(found, pod, "egress")
            if not any("podSelector" in peer for peer in rule.get("to", ()))
        ]
        reached = {(port["protocol"], port["port"]) for rule in rules for port in rule["ports"]}
        assert all(rule["ports"] for rule in rules)
        assert reached >= DNS
        assert reached - DNS == {("TCP", port) for port in wanted}, pod.component


def test_only_the_gateway_is_open_to_others(values: str) -> None:
    found = objects(values)
    for pod in pods(found):
        for rule in _policies(found, pod, "ingress"):
            if "from" not in rule:
                assert (pod.component, values) in (("gateway", "small"), ("gateway", "gpu"))
                assert [port["port"] for port in rule["ports"]] == [8080]


def test_the_ingress_publishes_the_api_and_the_console_alone(values: str) -> None:
    """Every route of the gateway but those that are for the cluster."""
    found = objects(values, "--set", "ingress.enabled=true,ingress.host=a.example.com")
    (ingress,) = of_kind(found, "Ingress").values()
    (rule,) = ingress["spec"]["rules"]
    paths = {path["path"]: path["pathType"] for path in rule["http"]["paths"]}

    def published(path: str) -> bool:
        return any(
            path == known or (kind == "Prefix" and path.startswith(f"{known}/"))
            for known, kind in paths.items()
        )

    routes = {path for route in create_app().routes if (path := getattr(route, "path", None))}
    assert len(routes) > 20
    assert {path for path in routes if not published(path)} == {"/metrics", "/readyz", "/livez"}


def test_without_a_rule_nothing_goes(values: str) -> None:
    found = objects(values)
    deny = of_kind(found, "NetworkPolicy")["penstock-deny"]["spec"]
    assert deny["policyTypes"] == ["Ingress", "Egress"]
    assert not deny.keys() & {"ingress", "egress"}
    assert all(selects(deny["podSelector"], pod.labels) for pod in pods(found))


def test_addresses_and_ports_of_outside_can_be_named(values: str) -> None:
    peer = '[{"ipBlock":{"cidr":"10.9.0.0/16"}}]'
    found = objects(
        values,
        "--set",
        "networkPolicy.outside.kafka.ports={7777}",
        "--set-json",
        f"networkPolicy.outside.kafka.to={peer}",
    )
    (pod,) = (one for one in pods(found) if one.component == "postprocessing")
    rules = [rule for rule in _policies(found, pod, "egress") if rule["ports"][0]["port"] == 7777]
    assert [rule["to"][0]["ipBlock"]["cidr"] for rule in rules] == ["10.9.0.0/16"]


def test_it_can_be_left_to_others(values: str) -> None:
    assert not of_kind(objects(values, "--set", "networkPolicy.enabled=false"), "NetworkPolicy")
